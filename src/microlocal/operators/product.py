"""Products of spaces: arrays of several shapes as one array, and the components of it.

X = X_1 x ... x X_n,    <(x_i), (y_i)> = Σ_i <x_i, y_i>
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.core.checks import trailing_shape, whole
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator

Arrays = Inexact[Tensor, "..."]


@dataclass(frozen=True)
class ProductSpace:
    """Arrays of several ``shapes`` as one: along a new leading axis where all have one shape, end to end where not.

    End to end they are a list of numbers (*batch, number), each array in row-major order. ``is_complex`` says whether
    they hold complex numbers, all of them.

    >>> space = ProductSpace(((2, 2), (3,)))
    >>> image, line = space.split(torch.arange(7.0))
    >>> image.tolist(), line.tolist(), space.join(image, line).shape
    ([[0.0, 1.0], [2.0, 3.0]], [4.0, 5.0, 6.0], torch.Size([7]))
    """

    shapes: tuple[tuple[int, ...], ...]
    is_complex: bool = False

    @property
    def stacked(self) -> bool:
        """Whether the components have one shape, and so an axis."""
        return len(set(self.shapes)) == 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the one array."""
        if self.stacked:
            return (len(self.shapes), *self.shapes[0])
        return (sum(math.prod(shape) for shape in self.shapes),)

    def axes(self, name: str, inner: str) -> str:
        """Return the axes' names for messages: ``name`` and those of a component, or what the numbers are."""
        return f"{name}, {inner}" if self.stacked else "numbers of " + " and ".join(map(str, self.shapes))

    def split(self, x: Arrays) -> tuple[Arrays, ...]:
        """Return the components of ``x`` as views, (*batch, *shape) each. Raises ShapeError for another shape."""
        axes = self.axes("component", "...")
        trailing_shape(x, self.shape, axes, "ProductSpace.split", "Put the components together with join.")
        if self.stacked:
            return x.unbind(dim=-len(self.shape))
        parts = torch.split(x, [math.prod(shape) for shape in self.shapes], dim=-1)
        return tuple(part.reshape(*x.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True))

    def join(self, *parts: Arrays) -> Arrays:
        """Return the array whose components are ``parts``: the inverse of ``split``.

        Raises ShapeError unless there is one for every shape, with the same leading axes.
        """
        who, do = "ProductSpace.join", "Give the components in the order of the shapes, with the same leading axes."
        if len(parts) != len(self.shapes):
            raise ShapeError(who, expected=f"{len(self.shapes)} components", got=str(len(parts)), do=do)
        for place, (part, shape) in enumerate(zip(parts, self.shapes, strict=True)):
            trailing_shape(part, shape, f"component {place}", who, do)
        batches = [tuple(part.shape[: part.ndim - len(s)]) for part, s in zip(parts, self.shapes, strict=True)]
        if len(set(batches)) > 1:
            raise ShapeError(who, expected="the same leading axes", got=str(batches), do=do)
        if self.stacked:
            return torch.stack(parts, dim=-len(self.shape))
        return torch.cat(
            [part.reshape(*batches[0], math.prod(part.shape[len(batches[0]) :])) for part in parts], dim=-1
        )

    def component(self, place: int) -> "Component":
        """Return the operator that takes the component at ``place``, from 0, out of the product."""
        return Component(self, place)


def _samples() -> list["Component"]:
    mixed = ProductSpace(((2, 3), (4,), (2,)))
    return [mixed.component(1), mixed.component(0), ProductSpace(((2, 3), (2, 3)), is_complex=True).component(1)]


@register("operator", "component", samples=_samples)
class Component(LinearOperator):
    """One component of a product: (*batch, *space.shape) -> (*batch, *shape), of norm 1; the adjoint fills with zeros.

    Parameters: ``space``; ``place`` from 0. Raises InputError for a place that is not there.

    >>> ProductSpace(((2,), (1,))).component(1)(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [3.0]
    """

    domain_axes = "components"
    codomain_axes = "component"

    def __init__(self, space: ProductSpace, place: int) -> None:
        if not 0 <= whole(place, "place", "Component") < len(space.shapes):
            expected, do = f"a place from 0 to {len(space.shapes) - 1}", "Count components from 0."
            raise InputError("Component", expected=expected, got=str(place), do=do)
        super().__init__(space.shape, space.shapes[place])
        self.domain_complex = self.codomain_complex = space.is_complex
        self.space, self.place = space, place

    def _forward(self, x: Tensor) -> Tensor:
        return self.space.split(x)[self.place].clone()

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.shape[: y.ndim - len(self.codomain_shape)]
        zeros = [y.new_zeros(*batch, *shape) for shape in self.space.shapes]
        return self.space.join(*zeros[: self.place], y, *zeros[self.place + 1 :])

    def norm_bound(self) -> float:
        return 1.0
