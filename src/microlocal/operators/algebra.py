"""The algebra of operators: its members enter the registry here, since what ``2 * A + B @ C.H`` builds lives in base.

|A + B| <= |A| + |B|,   |c A| = |c| |A|,   |A B| <= |A| |B|,   |A*| = |A|
"""

from microlocal.core.registry import register
from microlocal.operators.base import Adjoint, Composition, Multiple, Sum
from microlocal.operators.complexified import AsComplex
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity


def _adjoints() -> list[Adjoint]:
    return [Adjoint(Gradient((3, 4))), Adjoint(AsComplex((2, 3)))]


def _compositions() -> list[Composition]:
    image = Gradient((3, 4))
    return [Composition(image.H, image), Composition(Gradient((3, 4), 0.5), image)]


def _sums() -> list[Sum]:
    return [Sum(Gradient((3, 4)), Gradient((3, 4), 0.5)), Sum(AsComplex((2, 3)), 2j * AsComplex((2, 3)))]


def _multiples() -> list[Multiple]:
    return [Multiple(-2.5, Identity((3, 2))), Multiple(1 - 2j, AsComplex((2, 3))), Multiple(0.0, Gradient((2, 3)))]


register("operator", "adjoint", samples=_adjoints)(Adjoint)
register("operator", "composition", samples=_compositions)(Composition)
register("operator", "sum", samples=_sums)(Sum)
register("operator", "multiple", samples=_multiples)(Multiple)
