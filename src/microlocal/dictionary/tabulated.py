"""Diffusivities as kernels take them: the formulas of named rows, and tables of cubics for everything else.

A table is fitted at the Chebyshev places of every cell in float64, with twice as many cells an octave until the flux is
within the tolerance. Where Φ has a corner or a jump, cells are laid so that one begins there; with more than one of
these no table is good enough, and plain torch does the steps.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.dictionary.nonlinearity import Nonlinearity
from microlocal.kernels.diffusivities import CLOSED, LOWEST, OCTAVES, Kind, Table

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}  # of the largest flux of smaller differences
BITS = {torch.float32: (3, 4, 5), torch.float64: (5, 6, 7, 8)}  # 2^bits cells an octave of s²
MANTISSA = {torch.float32: 23, torch.float64: 52}
NODES = (1 - torch.cos(torch.pi * (2 * torch.arange(4, dtype=torch.float64) + 1) / 8)) / 2
TRIED = torch.tensor([0.0, 0.02, 0.3, 0.5, 0.7, 0.98], dtype=torch.float64)  # of a cell, between the nodes
INVERSE = torch.linalg.inv(NODES[:, None] ** torch.arange(4))
FINGERPRINT = torch.logspace(-3, 3, 25, dtype=torch.float64)


class Tabulated(NamedTuple):
    """A diffusivity for kernels: a named formula, or cubics; ``error`` of the flux, relative to the largest so far."""

    formula: str
    scale: float
    cubics: Float[Tensor, "cell 4"]
    bits: int
    error: float


def tabulated(entry: Nonlinearity, dtype: torch.dtype) -> Tabulated | None:
    """Return what kernels need to know of a nonlinearity, or None: they cannot serve it.

    They cannot where no table is within 1e-6 (float32) or 1e-10 (float64) of the largest flux up to a difference, for
    differences from 1e-9 to 1e9, and where the nonlinearity itself is being trained.
    """
    if entry.contrast is not None and entry.name in CLOSED:
        return Tabulated(entry.name, entry.contrast**-2, torch.empty(0, 4, dtype=dtype), 0, 0.0)
    marks = entry.diffusivity(FINGERPRINT)
    if marks.requires_grad:
        return None
    # A function may be another tomorrow: what it says at a few places is part of the key.
    return _table(entry, dtype, marks.numpy().tobytes())


@lru_cache(maxsize=16)
def _table(entry: Nonlinearity, dtype: torch.dtype, marks: bytes) -> Tabulated | None:
    del marks
    scale = 1.0
    for bits in BITS[dtype]:
        for _ in range(2):
            cubics, error, worst = _fitted(entry, scale, bits)
            if error <= TOLERANCE[dtype]:
                return Tabulated("table", scale, cubics.to(dtype), bits, error)
            corner = 1 / _corner(entry, *worst)
            if abs(corner / scale - 1) < 1e-9:
                break
            scale, before = corner, scale
            if _fitted(entry, scale, bits)[1] > error / 2:  # no corner, only too few cells
                scale = before
                break
    return None


def _fitted(entry: Nonlinearity, scale: float, bits: int) -> tuple[Float[Tensor, "cell 4"], float, tuple[float, float]]:
    """Return cubics by the mantissa within a cell, the error of the flux, and the cell of s² with the largest."""
    share = torch.arange(2**bits, dtype=torch.float64) / 2**bits
    begins = (2.0 ** torch.arange(LOWEST, LOWEST + OCTAVES, dtype=torch.float64))[:, None] * (1 + share)
    begins, widths = begins.flatten() / scale, (begins / (1 + share)).flatten() / 2**bits / scale
    cubics = _weights(entry, begins[:, None] + widths[:, None] * NODES) @ INVERSE.T
    q = begins[:, None] + widths[:, None] * TRIED
    exact, found = _weights(entry, q), cubics @ (TRIED[:, None] ** torch.arange(4)).T
    largest = (exact.abs() * q.sqrt()).amax(dim=1).cummax(dim=0).values.clamp_min(1e-300)
    error = ((found - exact).abs() * q.sqrt()).amax(dim=1) / largest
    error = torch.where(error.isfinite(), error, torch.inf)
    k = int(error.argmax())
    unit = 2.0 ** (bits * torch.arange(4, dtype=torch.float64))
    return cubics * unit, float(error[k]), (float(begins[k]), float(begins[k] + widths[k]))


def _corner(entry: Nonlinearity, low: float, high: float) -> float:
    """Return where between two values of s² a cubic is furthest from the diffusivity, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        errors = []
        for begin, end in ((low, middle), (middle, high)):
            width = end - begin
            cubic = _weights(entry, begin + width * NODES) @ INVERSE.T
            exact = _weights(entry, begin + width * TRIED)
            errors.append(float((cubic @ (TRIED[:, None] ** torch.arange(4)).T - exact).abs().max()))
        low, high = (low, middle) if errors[0] >= errors[1] else (middle, high)
    return (low + high) / 2


def _weights(entry: Nonlinearity, q: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return entry.diffusivity(q.sqrt()).detach()


def kind_of(formula: str, scale: float, cubics: Float[Tensor, "cell 4"], bits: int) -> Kind:
    """Return the diffusivity as the type that kernels are compiled for."""
    number, whole = (np.float32, np.int32) if cubics.dtype == torch.float32 else (np.float64, np.int64)
    if formula != "table":
        kind: Kind = CLOSED[formula](number(scale))
        return kind
    shift = MANTISSA[cubics.dtype] - bits
    first = int(np.array([2.0**LOWEST], number).view(whole)[0]) >> shift
    return Table(number(scale), cubics.contiguous().numpy().reshape(-1), whole(shift), whole(first))
