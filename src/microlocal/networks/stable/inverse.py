"""The inverse of a residual map x + g(x) with Lip g = q < 1, with a bound of its error.

    x_{k+1} = y - g(x_k),      |x_k - x| <= q^k/(1 - q) |x_1 - x_0|      (before: Banach)
                               |x_k - x| <= |x_k + g(x_k) - y|/(1 - q)  (after: what is returned)

The second holds for any x_k: |x_k + g(x_k) - x - g(x)| >= (1 - q) |x_k - x|. Rounding enters through the residual as it
was computed, and only there: in its precision ε it is off by at most c ε (|x| + |y| + √N) for N numbers, where none of
size one takes more than c operations. A sum of n products is off by n ε times the sum of their sizes.

Reference: Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, positive
from microlocal.core.errors import InputError

OPERATIONS = 1000.0

Field = Callable[[Float[Tensor, "batch *point"]], Float[Tensor, "batch *point"]]


@dataclass(frozen=True)
class Inverse:
    """A preimage: ``value``; ``error``, a proved bound of its distance to the exact one, a number per batch entry."""

    value: Float[Tensor, "batch *point"]
    error: Float[Tensor, " batch"]
    iterations: int


def invert_residual(
    branch: Field,
    y: Float[Tensor, "batch *point"],
    contraction: float,
    tolerance: float = 1e-6,
    most: int = 200,
    exact: Field | None = None,
    operations: float = OPERATIONS,
) -> Inverse:
    """Return x with x + g(x) = y, where Lip g <= ``contraction`` < 1, to ``tolerance`` in the norm of an entry.

    ``most`` iterations; where they or the precision do not suffice, ``error`` says how far it got. It is measured on
    ``exact``, the same g in float64, if there is one; ``operations`` c, of a number of g. Raises InputError for a
    contraction that is none.

    >>> found = invert_residual(lambda x: 0.5 * torch.sin(x), torch.ones(1, 1, dtype=torch.float64), 0.5)
    >>> bool((found.value + 0.5 * torch.sin(found.value) - 1).abs() <= 1e-6), bool(found.error <= 1e-6)
    (True, True)
    """
    if not 0 <= contraction < 1:
        do = "Divide the branch by its Lipschitz constant."
        raise InputError("invert_residual", expected="0 <= Lip g < 1", got=f"{contraction:g}", do=do)
    positive(tolerance, "tolerance", "invert_residual")
    at_least(most, 1, "most", "invert_residual")
    x = y
    for k in range(most + 1):
        residual = x + branch(x) - y
        if k == most or bool((_size(residual) <= tolerance * (1 - contraction)).all()):
            break
        x = x - residual
    missed, rounding = _missed(exact or branch, *((x, y) if exact is None else (x.double(), y.double())))
    return Inverse(x, (missed + operations * rounding) / (1 - contraction), k)


def _missed(
    branch: Field, x: Float[Tensor, "batch *point"], y: Float[Tensor, "batch *point"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Return |x + g(x) - y| as computed, and ε (|x| + |y| + √N)."""
    missed = _size(x + branch(x) - y)
    return missed, torch.finfo(x.dtype).eps * (_size(x) + _size(y) + math.sqrt(x[0].numel() if len(x) else 0))


def _size(x: Float[Tensor, "batch *point"]) -> Float[Tensor, " batch"]:
    return torch.linalg.vector_norm(x.flatten(1), dim=1)


def iterations_needed(contraction: float, first: float, tolerance: float) -> int:
    """Return after how many iterations Banach's bound q^k/(1 - q) |x_1 - x_0| is below the tolerance.

    >>> iterations_needed(0.5, 1.0, 1e-3)
    11
    """
    count, bound = 0, first / (1 - contraction)
    while bound > tolerance:
        count, bound = count + 1, bound * contraction
    return count
