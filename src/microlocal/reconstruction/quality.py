"""How good an image is, measured against a reference: errors, similarities, and agreement of segmentations.

All take float tensors (*batch, row, col) of one shape and return (*batch,).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from microlocal.core.arrays import to_numpy
from microlocal.core.checks import floating, positive
from microlocal.core.errors import InputError, ShapeError
from microlocal.wavefront.thresholds import otsu

Image = Float[Tensor, "*batch row col"]
Score = Float[Tensor, "*batch"]
IMAGE = (-2, -1)


def relative_error(image: Image, reference: Image) -> Score:
    """Return ‖x - r‖ / ‖r‖ of each image; raises ShapeError, InputError for other types.

    >>> relative_error(torch.full((2, 2), 1.1), torch.ones(2, 2)).item().__round__(3)
    0.1
    """
    _checked(image, reference, "relative_error")
    return torch.linalg.vector_norm(image - reference, dim=IMAGE) / torch.linalg.vector_norm(reference, dim=IMAGE)


def psnr(image: Image, reference: Image, data_range: float | None = None) -> Score:
    """Return the peak signal-to-noise ratio 10 log₁₀(L² / mean (x - r)²) in decibels.

    ``data_range`` L is max r - min r of each reference unless given. Raises ShapeError, InputError.

    >>> psnr(torch.full((2, 2), 0.1), torch.zeros(2, 2), data_range=1.0).item().__round__(3)
    20.0
    """
    _checked(image, reference, "psnr")
    return 10 * torch.log10(_range(reference, data_range, "psnr") ** 2 / (image - reference).square().mean(IMAGE))


def ssim(image: Image, reference: Image, data_range: float | None = None) -> Score:
    """Return the mean structural similarity (wang2004): Gaussian window of 11 x 11 pixels, σ = 1.5.

    SSIM = (2 μ_x μ_r + C₁)(2 σ_xr + C₂) / ((μ_x² + μ_r² + C₁)(σ_x² + σ_r² + C₂)), C₁ = (0.01 L)², C₂ = (0.03 L)², the
    mean over the pixels whose window lies inside. ``data_range`` L as in ``psnr``. Raises ShapeError, InputError.

    >>> x = torch.rand(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> ssim(x, x).item().__round__(9)
    1.0
    """
    _checked(image, reference, "ssim", least=11)
    size = _range(reference, data_range, "ssim")[..., None, None]
    places = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    window = torch.exp(-places.square() / (2 * 1.5**2))
    kernel = torch.outer(window, window) / window.sum() ** 2
    mean_x, mean_r = _filtered(image, kernel), _filtered(reference, kernel)
    power = _filtered(image**2 + reference**2, kernel) - mean_x**2 - mean_r**2
    shared = _filtered(image * reference, kernel) - mean_x * mean_r
    c1, c2 = (0.01 * size) ** 2, (0.03 * size) ** 2
    means = (2 * mean_x * mean_r + c1) / (mean_x**2 + mean_r**2 + c1)
    return (means * (2 * shared + c2) / (power + c2)).mean(IMAGE)


def haarpsi(image: Image, reference: Image, data_range: float | None = None) -> Score:
    """Return the Haar wavelet-based perceptual similarity index in [0, 1] (reisenhofer2018), C = 30, α = 4.2.

    Images are scaled to L = 255, halved by 2 x 2 means, and filtered by Haar wavelets h_j of both orientations:
    l⁻¹(Σ l(S) W / Σ W)², l(x) = 1/(1 + exp(-α x)), S = ½ Σ_{j=1,2} (2|a_j b_j| + C)/(a_j² + b_j² + C),
    W = max(|a_3|, |b_3|). ``data_range`` L as in ``psnr``; values are taken as they are, from 0. Two images without
    any edge score 1. Raises ShapeError, InputError.

    >>> x = torch.rand(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> haarpsi(x, x).item().__round__(9)
    1.0
    """
    _checked(image, reference, "haarpsi", least=2)
    scale = 255 / _range(reference, data_range, "haarpsi")[..., None, None]
    small = [_same(x * scale, torch.full((2, 2), 0.25).to(x))[..., ::2, ::2] for x in (image, reference)]
    top = bottom = torch.zeros_like(small[0][..., 0, 0])
    for upright in (False, True):
        responses = [[_same(x, _haar(j, upright).to(x)).abs() for x in small] for j in (1, 2, 3)]
        alike = torch.stack([(2 * a * b + 30) / (a**2 + b**2 + 30) for a, b in responses[:2]]).mean(0)
        weight = torch.maximum(*responses[2])
        top = top + (torch.sigmoid(4.2 * alike) * weight).sum(IMAGE)
        bottom = bottom + weight.sum(IMAGE)
    score = (torch.logit(top / bottom) / 4.2) ** 2
    return torch.where(bottom > 0, score, torch.ones_like(score))


def mcc(image: Image, reference: Image) -> Score:
    """Return Matthews' correlation of the two segmentations x > t, each with Otsu's threshold t (otsu1979).

    MCC = (TP TN - FP FN) / √((TP + FP)(TP + FN)(TN + FP)(TN + FN)), in [-1, 1]; 0 where a segmentation is empty or
    full. Raises ShapeError, InputError.

    >>> mcc(torch.tensor([[0.1, 0.9]]), torch.tensor([[0.0, 1.0]])).item()
    1.0
    """
    _checked(image, reference, "mcc")
    found, truth = _segmented(image), _segmented(reference)
    tp, tn = (found * truth).sum(IMAGE), ((1 - found) * (1 - truth)).sum(IMAGE)
    fp, fn = (found * (1 - truth)).sum(IMAGE), ((1 - found) * truth).sum(IMAGE)
    spread = torch.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return torch.where(spread > 0, (tp * tn - fp * fn) / spread.clamp(min=1), 0.0).to(image.dtype)


def _segmented(image: Tensor) -> Tensor:
    flat = image.detach().double().cpu().reshape(-1, *image.shape[-2:])
    return torch.stack([(x > otsu(to_numpy(x))).double() for x in flat]).reshape(image.shape).to(image.device)


def _checked(image: Tensor, reference: Tensor, who: str, least: int = 1) -> None:
    floating(image, who)
    floating(reference, who)
    if image.ndim < 2 or image.shape != reference.shape or min(image.shape[-2:]) < least:
        expected = f"two images (*batch, row, col) of one shape, at least {least} x {least} pixels"
        got = f"{tuple(image.shape)} and {tuple(reference.shape)}"
        raise ShapeError(who, expected=expected, got=got, do="Compare images on the same grid.")


def _range(reference: Tensor, data_range: float | None, who: str) -> Tensor:
    """The size L of the values of each reference."""
    if data_range is not None:
        return torch.full(reference.shape[:-2], positive(data_range, "data_range", who)).to(reference)
    size = reference.amax(IMAGE) - reference.amin(IMAGE)
    if not bool((size > 0).all()):
        raise InputError(who, expected="a reference that varies", got="a constant one", do="Give data_range.")
    return size


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate, keeping the places where the whole kernel lies inside."""
    flat = conv2d(x.reshape(-1, 1, *x.shape[-2:]), kernel[None, None])
    return flat.reshape(*x.shape[:-2], *flat.shape[-2:])


def _same(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve with an even kernel, zeros outside, keeping the entries from k/2 on, as the published code does."""
    half = kernel.shape[0] // 2
    padded = torch.nn.functional.pad(x, (half - 1, half, half - 1, half))
    return _filtered(padded, kernel.flip(0, 1))


def _haar(scale: int, upright: bool) -> Tensor:
    """The Haar wavelet of 2^scale pixels: -1 above +1, or left of it, times 2^-scale."""
    signs = np.repeat([-1.0, 1.0], 2 ** (scale - 1))
    kernel = torch.from_numpy(np.tile(signs[:, None], (1, 2**scale)) * 2.0**-scale)
    return kernel.T if upright else kernel
