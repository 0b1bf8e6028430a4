"""The spaces of an operator: real or complex arrays of one shape with the real inner product Re <x, y>.

With that inner product every operator that is linear over the reals has an adjoint, from and to complex arrays
alike; where A is linear over the complex numbers it is the conjugate transpose.
"""

from itertools import chain

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.operators.base import LinearOperator


def device_of(operator: LinearOperator) -> torch.device:
    """Return where the operator's tables lie: the device of its first buffer or parameter, or else the CPU."""
    return next(chain(operator.buffers(), operator.parameters()), torch.empty(0)).device


def inner(x: Inexact[Tensor, "..."], y: Inexact[Tensor, "..."]) -> float:
    """Return Re <x, y>, summed in double precision.

    >>> inner(torch.tensor([1j, 2.0]), torch.tensor([1j, 1.0]))
    3.0
    """
    left, right = (torch.view_as_real(a.resolve_conj()) if a.is_complex() else a for a in (x, y))
    return float((left.double() * right.double()).sum())


def in_domain(operator: LinearOperator, precision: torch.dtype = torch.float64) -> torch.dtype:
    """Return the dtype of the operator's inputs in ``precision``, torch.float32 or torch.float64."""
    return precision.to_complex() if operator.domain_complex else precision


def in_codomain(operator: LinearOperator, precision: torch.dtype = torch.float64) -> torch.dtype:
    """Return the dtype of the operator's outputs in ``precision``, torch.float32 or torch.float64."""
    return precision.to_complex() if operator.codomain_complex else precision


def finest(operator: LinearOperator) -> torch.dtype:
    """Return the finest precision in which all parts of the operator compute, torch.float64 or torch.float32."""
    parts = (part for part in operator.modules() if isinstance(part, LinearOperator))
    return torch.float32 if any(part.precision == torch.float32 for part in parts) else torch.float64


def draw(
    operator: LinearOperator,
    source: torch.Generator,
    precision: torch.dtype = torch.float64,
    batch: tuple[int, ...] = (),
) -> Inexact[Tensor, "..."]:
    """Return noise from the operator's domain, (*batch, *domain), on its device; ``draw(A.H, ...)`` draws data."""
    shape = (*batch, *operator.domain_shape)
    noise = torch.randn(shape, dtype=in_domain(operator, precision), generator=source, device=source.device)
    return noise.to(device_of(operator))
