"""An operator of ours as DeepInverse's linear physics: its methods under its names, and nothing of it imported.

    A, A_adjoint, A_dagger (the pseudo-inverse), prox_l2(z, y, γ) = argmin_x γ/2 |A x - y|² + 1/2 |x - z|²

Tensors are (B, C, H, W). An operator of images (row, col) acts on each channel; one whose arrays have three axes takes
(C, H, W) together. The reverse is ``microlocal.operators.from_deepinv``.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver

Images = Inexact[Tensor, "batch ..."]
Noise = Callable[[Images], Images]


class OperatorPhysics(nn.Module):
    """A linear operator with the methods of DeepInverse's ``LinearPhysics``; build it with ``as_deepinv``.

    Solves by conjugate gradients on the normal equations, up to ``max_iter`` iterations or until the gradient of the
    misfit has fallen to ``tol`` of its first value; the derivative of a solution is another such solve, and no iterate
    is kept for it. The names are DeepInverse's.
    """

    def __init__(
        self,
        operator: LinearOperator,
        noise_model: Noise | None = None,
        *,
        max_iter: int = 50,
        tol: float = 1e-4,
    ) -> None:
        super().__init__()
        self.operator = operator
        self.noise_model: Noise = nn.Identity() if noise_model is None else noise_model
        self.max_iter, self.tol = max_iter, tol
        self.img_size = (1,) * (3 - len(operator.domain_shape)) + operator.domain_shape

    def forward(self, x: Images) -> Images:
        """Return noisy measurements."""
        return self.noise_model(self.operator(x))

    def noise(self, x: Images) -> Images:
        """Return measurements with noise added."""
        return self.noise_model(x)

    def sensor(self, x: Images) -> Images:
        """Return the measurements as they are: the sensor is linear."""
        return x

    def A(self, x: Images) -> Images:
        """Return noiseless measurements."""
        return self.operator(x)

    def A_adjoint(self, y: Images) -> Images:
        """Return the exact adjoint."""
        return self.operator.adjoint(y)

    def A_vjp(self, x: Images, v: Images) -> Images:
        """Return the transposed Jacobian times ``v``: the adjoint, wherever ``x`` is."""
        del x
        return self.operator.adjoint(v)

    def A_adjoint_A(self, x: Images) -> Images:
        """Return A* A x, by the operator's own faster way where it has one."""
        return self.operator.normal()(x)

    def A_A_adjoint(self, y: Images) -> Images:
        """Return A A* y."""
        return self.operator(self.operator.adjoint(y))

    def A_dagger(self, y: Images, x_init: Images | None = None) -> Images:
        """Return the least-squares solution nearest to ``x_init``, or to zero."""
        start = torch.zeros_like(self.operator.adjoint(y)) if x_init is None else x_init
        return start + self._solve(y - self.operator(start), 0.0)

    def prox_l2(self, z: Images, y: Images, gamma: Any) -> Images:
        """Return argmin_x γ/2 |A x - y|² + 1/2 |x - z|²: z for γ = 0. Raises InputError for other γ below."""
        if not float(gamma) >= 0:
            do = "Give the step of the proximal map, a positive number."
            raise InputError("prox_l2", expected="gamma >= 0", got=f"gamma = {float(gamma)}", do=do)
        if float(gamma) == 0:
            return z.clone()
        return z + self._solve(y - self.operator(z), 1 / float(gamma))

    def compute_sqnorm(self, x0: Images | None = None) -> Inexact[Tensor, ""]:
        """Return a proved bound of |A|², where DeepInverse estimates it from below; ``x0`` is not needed."""
        del x0
        return torch.tensor(self.operator.norm_bound() ** 2)

    def _solve(self, y: Tensor, damping: float) -> Tensor:
        """(A* A + δ)⁻¹ A* y, whose transpose is (A A* + δ)⁻¹ A: the same problem for A*."""
        driver = Driver(iterations=self.max_iter, every=1, tolerance=self.tol)
        return linear_pair(
            y,
            lambda data: cgls(self.operator, data, driver, damping=damping).value,
            lambda image: cgls(self.operator.H, image, driver, damping=damping).value,
        )


def as_deepinv(
    operator: LinearOperator, noise_model: Noise | None = None, *, max_iter: int = 50, tol: float = 1e-4
) -> OperatorPhysics:
    """Return ``operator`` as a physics for DeepInverse's optimisation, plug-and-play and unfolded methods.

    ``noise_model``, any function of the measurements, such as ``deepinv.physics.GaussianNoise``, none by default.
    Where a function of DeepInverse asks for an instance of its own class, pass
    ``deepinv.physics.LinearPhysics(A=p.A, A_adjoint=p.A_adjoint)`` of the physics p given here.

    >>> from microlocal.operators import Gradient
    >>> as_deepinv(Gradient((8, 8)))(torch.ones(4, 3, 8, 8)).shape
    torch.Size([4, 3, 2, 8, 8])
    """
    return OperatorPhysics(operator, noise_model, max_iter=max_iter, tol=tol)
