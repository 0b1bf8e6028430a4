"""DeepInverse's linear physics as operators of ours: known by their methods, so nothing of it is imported.

The reverse, our operators as its physics, is ``microlocal.solvers.deepinverse``, since that needs a solver.
"""

import math
from typing import Any, Protocol

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.core.checks import not_negative
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator
from microlocal.operators.spaces import draw, inner

_GAP = 1e-4  # single precision; a scaled adjoint or an unweighted back projection is off by 1e-2 and more


class LinearPhysics(Protocol):
    """What is asked of DeepInverse's ``LinearPhysics``: the two maps on (B, C, H, W) tensors."""

    def A(self, x: Inexact[Tensor, "batch channel row col"]) -> Inexact[Tensor, "batch ..."]:
        """Noiseless measurements."""

    def A_adjoint(self, y: Inexact[Tensor, "batch ..."]) -> Inexact[Tensor, "batch channel row col"]:
        """What should be its adjoint."""


class _Halves:
    """The smallest physics: every second column, on any number of channels."""

    def A(self, x: Tensor) -> Tensor:
        return x[..., ::2]

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.stack((y, torch.zeros_like(y)), dim=-1).flatten(-2)


def _samples() -> list["PhysicsOperator"]:
    return [PhysicsOperator(_Halves(), (3, 4), bound=1.0), PhysicsOperator(_Halves(), (2, 3, 4), derive_adjoint=True)]


@register("operator", "deepinverse", samples=_samples, reference="tachella2025")
class PhysicsOperator(LinearOperator):
    """A linear physics of DeepInverse: (*batch, *shape) -> (*batch, *measurement). Build it with ``from_deepinv``.

    Parameters: ``physics``; ``shape`` of the images, (channel, row, col), or (row, col) for a single channel, whose
    axis then is left out of the measurements too; ``derive_adjoint``, whether the adjoint is the derivative of ``A``
    instead of ``A_adjoint``; ``bound``, a proved bound of its norm where you have one. A physics whose own filters are
    of one precision takes no other: ``precisions`` are those it takes, and images of another are converted there and
    back.

    >>> PhysicsOperator(_Halves(), (1, 4))(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()
    [[1.0, 3.0]]
    """

    domain_axes = "channel, row, col"
    codomain_axes = "measurement"

    def __init__(
        self, physics: Any, shape: tuple[int, ...], *, derive_adjoint: bool = False, bound: float = math.inf
    ) -> None:
        channel = (1,) * (len(shape) == 2)
        if not callable(getattr(physics, "A", None)) or not callable(getattr(physics, "A_adjoint", None)):
            do = "Give an object with both, as deepinv.physics.LinearPhysics has them."
            raise InputError("from_deepinv", expected="A and A_adjoint", got=type(physics).__name__, do=do)
        taken = _taken(physics, (1, *channel, *shape), derive_adjoint)
        values = next(iter(taken.values()))
        if values.is_complex():
            do = "Give real and imaginary parts as channels, as DeepInverse's own MRI does (torch.view_as_real)."
            raise InputError("from_deepinv", expected="real measurements", got=str(values.dtype), do=do)
        measured = tuple(values.shape[1:])
        super().__init__(shape, measured[1:] if channel and measured[:1] == (1,) else measured)
        self.physics, self.derive_adjoint, self.precisions = physics, derive_adjoint, tuple(taken)
        self.precision = self.precisions[-1]
        self.bound = not_negative(bound, "bound", "from_deepinv")
        self.image_shape, self.measured_shape = (*channel, *shape), measured

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._measure, self._back)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._back, self._measure)

    def norm_bound(self) -> float:
        return self.bound

    def _measure(self, x: Tensor) -> Tensor:
        measured = self.physics.A(self._converted(x).reshape(-1, *self.image_shape)).detach()
        return measured.to(x.dtype).reshape(*x.shape[: x.ndim - len(self.domain_shape)], *self.codomain_shape)

    def _back(self, y: Tensor) -> Tensor:
        values = self._converted(y).reshape(-1, *self.measured_shape)
        images = self._derived(values) if self.derive_adjoint else self.physics.A_adjoint(values).detach()
        return images.to(y.dtype).reshape(*y.shape[: y.ndim - len(self.codomain_shape)], *self.domain_shape)

    def _converted(self, x: Tensor) -> Tensor:
        """Return ``x`` in a precision that the physics takes."""
        return x if x.dtype in self.precisions else x.to(self.precisions[0])

    def _derived(self, values: Tensor) -> Tensor:
        with torch.enable_grad():
            image = values.new_zeros(len(values), *self.image_shape).requires_grad_()
            measured = self.physics.A(image)
        return torch.autograd.grad(measured, image, values.to(measured.dtype))[0]


def _taken(physics: Any, shape: tuple[int, ...], derive_adjoint: bool) -> dict[torch.dtype, Tensor]:
    """Return what a physics measures of nothing in each precision that it takes; raises InputError where in none."""
    taken: dict[torch.dtype, Tensor] = {}
    why: Exception | None = None
    for precision in (torch.float32, torch.float64):
        try:
            with torch.no_grad():
                values = physics.A(torch.zeros(shape, dtype=precision))
                if not (derive_adjoint or values.is_complex()):
                    physics.A_adjoint(values)
            taken[precision] = values
        except Exception as error:  # the physics is anybody's code
            why = why or error
    if not taken:
        expected, got = f"a linear physics of images (B, C, H, W) = {shape}", f"{type(why).__name__}: {why}"
        do = "Give the shape (C, H, W) of its images; it must be on the CPU and linear."
        raise InputError(f"from_deepinv({type(physics).__name__})", expected=expected, got=got, do=do) from why
    return taken


def from_deepinv(
    physics: Any, shape: tuple[int, ...], *, derive_adjoint: bool = False, bound: float = math.inf
) -> PhysicsOperator:
    """Return a linear physics of DeepInverse as an operator, after a look at its adjoint.

    ``physics`` has ``A`` and ``A_adjoint`` on tensors (B, C, H, W); ``shape`` is (C, H, W), or (H, W) for one channel.
    Noise and sensor models are left behind. ``bound``, a proved bound of the norm where you have one, is what the steps
    of all methods but ``cgls`` are made of; ``physics.compute_norm`` is none, it estimates from below.

    Raises InputError where the physics fails on an image of this shape, and where <A x, y> and <x, A_adjoint y> differ
    by more than 1e-4 |A x| |y| in single precision; ``derive_adjoint=True`` then takes the derivative of ``A`` for the
    adjoint.

    >>> from_deepinv(_Halves(), (3, 4)).codomain_shape
    (3, 2)
    """
    operator = PhysicsOperator(physics, shape, derive_adjoint=derive_adjoint, bound=bound)
    x, y = draw(operator, generator(0), torch.float32), draw(operator.H, generator(1), torch.float32)
    image = operator(x)
    left, right = inner(image, y), inner(x, operator.adjoint(y))
    gap = abs(left - right) / max(float(image.norm() * y.norm()), 1e-30)
    if gap > _GAP:
        name = type(physics).__name__
        got = f"<A x, y> = {left:.5g} and <x, A_adjoint y> = {right:.5g}, apart by {gap:.2g} |A x| |y|"
        way_out = "Pass derive_adjoint=True, or repair A_adjoint."
        do = "Its derivative is not A's adjoint either: repair the physics." if derive_adjoint else way_out
        raise InputError(f"from_deepinv({name})", expected="A_adjoint to be the adjoint of A", got=got, do=do)
    return operator
