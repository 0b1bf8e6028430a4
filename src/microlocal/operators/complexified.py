"""Between real and complex images: a real image seen as a complex one, and a real operator acting on complex images."""

import torch
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, only_operators
from microlocal.operators.gradient import Gradient


@register("operator", "as-complex", samples=lambda: [AsComplex((3, 4)), AsComplex((5,))])
class AsComplex(LinearOperator):
    """The embedding of real arrays in complex ones, x -> x + 0i; its adjoint is the real part, its norm 1.

    Put it before an operator of complex images to say that the image sought is real.

    >>> AsComplex((2,)).adjoint(torch.tensor([1 + 2j, 3j])).tolist()
    [1.0, 0.0]
    """

    codomain_complex = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, shape)

    def _forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, torch.zeros_like(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.real.clone()

    def norm_bound(self) -> float:
        return 1.0


@register("operator", "complexified", samples=lambda: [Complexified(Gradient((3, 4))), Complexified(Gradient((4, 3)))])
class Complexified(LinearOperator):
    """A real operator on complex arrays: A(x + iy) = A x + i A y, of the same norm.

    >>> Complexified(Gradient((1, 2)))(torch.tensor([[1j, 2.0]]))[1].tolist()
    [[(2-1j), 0j]]
    """

    domain_complex = True
    codomain_complex = True

    def __init__(self, operator: LinearOperator) -> None:
        only_operators((operator,), "Complexified")
        if operator.domain_complex or operator.codomain_complex:
            got = f"{type(operator).__name__} with complex arrays"
            raise InputError("Complexified", expected="a real operator", got=got, do="Use the operator as it is.")
        super().__init__(operator.domain_shape, operator.codomain_shape)
        self.domain_axes, self.codomain_axes = operator.domain_axes, operator.codomain_axes
        self.operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return torch.complex(self.operator(x.real), self.operator(x.imag))

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.complex(self.operator.adjoint(y.real), self.operator.adjoint(y.imag))

    def norm_bound(self) -> float:
        return self.operator.norm_bound()

    def normal(self) -> LinearOperator:
        return Complexified(self.operator.normal())
