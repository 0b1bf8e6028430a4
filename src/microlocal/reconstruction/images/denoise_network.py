"""Denoising by a network that states what is proved of it.

    x = a + s N((y - a)/s, σ/s)

a and s bring the image to [0, 1], the unit of the images that the network was trained on. For fixed a, s and σ what is
proved of N is true of this map as well, since scaling and shifting change no ratio of distances. So s is free, and is
taken such that the network sees noise of a level it was trained on. But a, s and, unless given, σ are read off the
image: bounds of one image and its mean hold all the same, those of two images only where both have these three numbers
in common, which the certificate names.

Reference: Alt, Weickert, Peter (2020).
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import finite
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.networks.denoisers import denoiser, load_denoiser
from microlocal.networks.noise_level import at_level
from microlocal.networks.weights import name_of
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.proved import certificates_of
from microlocal.reconstruction.images.scale import Scale, fixed, scale_of, trained_range, unlike
from microlocal.reconstruction.images.tiles import in_tiles, reach_of
from microlocal.reconstruction.images.trial import ImageTrial, noisy_trial

WHO = "denoise_network"


def _trials() -> list[ImageTrial]:
    # As it begins, before any training: two steps of a diffusion.
    network = denoiser({"kind": "nonexpansive", "dilations": [1, 1], "filters": 8, "side": 3})
    return [noisy_trial("denoise-network, against the data", lambda y: denoise_network(y, network), lambda y: y, 0.65)]


@register("image-method", "denoise-network", samples=_trials, reference="alt2020")
def denoise_network(
    image: Float[Tensor, "*batch row col"],
    weights: str | Path | nn.Module = "shrinkage",
    *,
    noise: float | None = None,
    card: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Remove white noise from images (*batch, row, col) with a trained network.

    ``weights``, the name of shipped ones ("shrinkage", "nonexpansive"), a file, or a denoiser N(u, noise) or
    N(u); ``noise``, its standard
    deviation in the unit of the image, estimated for every image unless given; ``card`` of a denoiser that is given as
    an object, which says what noise it was trained on. The image is brought to [0, 1] by the
    1st and 99th percentile of its means over 4 x 4 pixels, so that its unit does not matter.
    ``certificates`` hold what is proved of the network, with the worst value measured in float64 on these images; a
    note says where the noise lies outside of what was trained on. Images are treated one after the other, large ones
    in tiles with exactly the result of the whole; memory stays below two gigabytes.

    Raises InputError for images or weights that cannot be used, and where the result is not finite. Reference: Alt et
    al. (2020).

    >>> image = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    >>> network = denoiser({"kind": "adaptive-shrinkage", "widths": [4, 4]})
    >>> found = denoise_network(image, network, noise=0.1)
    >>> [(c.claim[:30], c.holds) for c in found.certificates]
    [('Nothing grows: |N(u) - m| <= 1', True), ('The mean grey value is kept.', True)]
    """
    y = checked_image(image, WHO, any_size=True)
    network, known = (deepcopy(weights), card or {}) if isinstance(weights, nn.Module) else load_denoiser(weights)
    kind = y.dtype if y.dtype == torch.float64 else torch.float32
    network = network.to(y.device, kind)
    sigma, said = given_or_estimated(noise, y, WHO)
    planes, levels = y.reshape(-1, *y.shape[-2:]), sigma.flatten().tolist()
    trained = trained_range(known)
    scales = [scale_of(plane, level, trained, WHO) for plane, level in zip(planes.to(kind), levels, strict=True)]

    def run(plane: Float[Tensor, "row col"], k: int) -> Float[Tensor, "row col"]:
        return _denoised(network, plane, levels[k], scales[k], progress)

    told = [level / scale.span for level, scale in zip(levels, scales, strict=True) if scale.noise]
    name = name_of(weights) if isinstance(weights, str | Path) else str(known.get("name", type(weights).__name__))
    found = _finite(torch.stack([run(plane, k) for k, plane in enumerate(planes.to(kind))]), name)
    result = found.to(y.dtype).reshape(y.shape)
    return ImageEstimate(
        result,
        y - result,
        sigma,
        config={"weights": name, "black": [scale.black for scale in scales], "span": [scale.span for scale in scales]},
        notes=(said, *unlike(scales, trained)),
        certificates=certificates_of(network, planes.to(kind), found, run, fixed(scales, levels), told),
    )


def _denoised(
    network: nn.Module, plane: Float[Tensor, "row col"], level: float, scale: Scale, progress: Progress
) -> Float[Tensor, "row col"]:
    """Return a + s N((y - a)/s, σ/s); an image without noise as it is."""
    if scale.noise == 0:
        return plane

    def run(part: Float[Tensor, "row col"]) -> Float[Tensor, "row col"]:
        found = at_level(network, (part - scale.black)[None, None] / scale.span, level / scale.span)
        return scale.black + scale.span * found[0, 0]

    with torch.no_grad():
        return in_tiles(run, plane, reach_of(network), progress=progress)


def _finite(found: Float[Tensor, "..."], name: str) -> Float[Tensor, "..."]:
    do = "Train again, or take other weights: microlocal certify says what is wrong with these."
    return finite(found, f"the result of the weights {name}", do)
