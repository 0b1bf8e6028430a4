"""How much a bank of convolution filters can amplify: an upper bound, not an estimate.

    |K|² <= sup_ω λ_max(K̂(ω)* K̂(ω)) <= max over an N x N grid / (cos(π d_r/N) cos(π d_c/N)),      d = filter size - 1

K̂(ω) is the matrix (filter, channel) of Fourier transforms. Along any line λ_max lies above trigonometric polynomials
v* K̂* K̂ v of degree d that touch it at its maximum M, and such a polynomial is at least M cos(d t) at a distance t
(M. Riesz): the next of N places is at most π/N away. The operator on all of Z² has exactly this supremum as its norm;
convolutions inside the image ("valid"), with zeros around it, or around a torus (whose sides the stride divides) are
parts or samples of that one. Continuing an image by one reflection repeats a pixel up to three times along an axis, in
images not much wider than the padding, and the bound triples. A reshaped kernel matrix has a smaller norm than the
convolution, and power iteration a smaller value than the norm: neither is a bound.

Reference: Pfister and Bresler (2019); Sedghi, Gupta, Long (2019).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from microlocal.core.checks import floating
from microlocal.core.errors import InputError, ShapeError

Boundary = Literal["valid", "zero", "circular", "reflect"]
Filters = Float[Tensor, "filter channel row col"]

FINENESS = 12  # places along an axis, by degree: the bound is 3.5 % above the norm at most
COPIES = {"valid": 1.0, "zero": 1.0, "circular": 1.0, "reflect": 3.0}
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-5}


def filter_norm_bound(
    filters: Filters, boundary: Boundary = "valid", stride: int = 1, grid: int | None = None
) -> Float[Tensor, ""]:
    """Return an upper bound of |K| for images of any size, differentiable by the filters.

    ``filters`` as ``torch.nn.functional.conv2d`` has them, without groups; ``grid`` places along an axis, 12 for
    each degree unless given: the finer, the nearer to the norm. Dilation changes
    nothing for stride 1. Raises InputError, ShapeError.

    >>> ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)  # the norm is 9, that of the reshaped kernel is 3
    >>> round(float(filter_norm_bound(ones, grid=1024)), 3)
    9.0
    """
    _check(filters, boundary, stride)
    phases = _phases(filters, stride)
    degrees = [side - 1 for side in phases.shape[-2:]]
    grid = max(FINENESS * max(degrees), 2) if grid is None else grid
    if 2 * max(degrees) >= grid:
        do = "Take a finer grid."
        raise InputError("filter_norm_bound", expected=f"a grid above {2 * max(degrees)}", got=str(grid), do=do)
    slack = math.prod(math.cos(math.pi * degree / grid) for degree in degrees)
    power = _largest_power(phases, grid) * ((1 + ROUNDING[filters.dtype]) / slack)
    return COPIES[boundary] * power.clamp_min(torch.finfo(power.dtype).tiny).sqrt()


def _largest_power(filters: Filters, grid: int) -> Float[Tensor, ""]:
    """Return the largest λ_max(K̂* K̂) over the frequencies of the grid."""
    spectrum = torch.fft.rfft2(filters, s=(grid, grid))
    outputs, inputs = spectrum.shape[:2]
    if min(outputs, inputs) == 1:
        return spectrum.abs().square().sum(dim=(0, 1)).amax()
    matrices = spectrum.permute(2, 3, 0, 1)
    gram = matrices.mH @ matrices if inputs <= outputs else matrices @ matrices.mH
    if gram.shape[-1] == 2:  # in closed form, many times faster than a batch of decompositions
        half = (gram[..., 0, 0] + gram[..., 1, 1]).real / 2
        gap = (gram[..., 0, 0] - gram[..., 1, 1]).real / 2
        squared = gap.square() + gram[..., 0, 1].abs().square()
        return (half + squared.clamp_min(torch.finfo(half.dtype).tiny).sqrt()).amax()
    return torch.linalg.eigvalsh(gram)[..., -1].amax()


def _phases(filters: Filters, stride: int) -> Filters:
    """Return the filters of stride one on the stride² images of every stride-th pixel that do the same."""
    if stride == 1:
        return filters
    rows, cols = (-(-side // stride) * stride for side in filters.shape[-2:])
    wide = torch.nn.functional.pad(filters, (0, cols - filters.shape[-1], 0, rows - filters.shape[-2]))
    return torch.nn.functional.pixel_unshuffle(wide, stride)


def _check(filters: Shaped[Tensor, "..."], boundary: str, stride: int) -> None:
    floating(filters, "filter_norm_bound")
    if filters.ndim != 4 or 0 in filters.shape:
        expected = "(filter, channel, row, col)"
        raise ShapeError("filter_norm_bound", expected=expected, got=str(tuple(filters.shape)), do="Add the axes.")
    if boundary not in COPIES:
        do = "Bound another boundary condition by the one it is a part of."
        raise InputError("filter_norm_bound", expected=" or ".join(COPIES), got=repr(boundary), do=do)
    if stride < 1:
        raise InputError("filter_norm_bound", expected="stride >= 1", got=str(stride), do="Mend the stride.")
