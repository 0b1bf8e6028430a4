"""Inpainting by a stopped flow that was trained for it and states what is proved of it.

    y = M (x + n),      x = a + s N((P y - a)/s, σ/s)

N is an ``InpaintingFlow``: a fixed number of steps from the means P y of what is known around a gap. It was trained on
small gaps; what lies further from known pixels than its steps can see stays such a mean. What is proved, how far two
images get apart, holds for images whose gaps are filled by P. a and s as for ``denoise_network``.

Reference: Effland, Kobler, Kunisch, Pock (2020).
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from microlocal.core.checks import positive, tensor
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.provenance import Provenance
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.inpainting_flow import InpaintingFlow, load_inpainting
from microlocal.operators.filling import Filling
from microlocal.operators.windows import WHOLE, Place, by_windows
from microlocal.reconstruction.images.by_flow import record, run_flow
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image
from microlocal.reconstruction.images.inpaint import checked_mask
from microlocal.reconstruction.images.scale import trained_range, unlike
from microlocal.reconstruction.images.trial import SIZE, ImageTrial, cartoon
from microlocal.reconstruction.trained import untrained

WHO = "inpaint_network"
TOLD = 5e-3  # of the range of the known pixels: what noise the flow is told where there is none
FAR = "{} pixels lie further from what is known than the flow can see: the means of wide blocks stand there."


def _trials() -> list[ImageTrial]:
    known = torch.rand((SIZE, SIZE), generator=generator(3)) > 0.5
    truth = cartoon()
    network = untrained(lambda: InpaintingFlow(6, 3, steps=12))

    def run(data: Tensor) -> ImageEstimate:
        return inpaint_network(data, known, network)

    def fill_with_mean(data: Tensor) -> Tensor:
        return torch.where(known, data, data[known].mean())

    return [ImageTrial("inpaint-network, against the mean", run, truth * known, truth, fill_with_mean, 0.5)]


@register("image-method", "inpaint-network", samples=_trials, reference="effland2020")
def inpaint_network(
    image: Float[Tensor, "*batch row col"],
    mask: Bool[Tensor, "row col"],
    weights: str | Path | nn.Module,
    *,
    noise: float | None = None,
    card: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Fill in the pixels of images (*batch, row, col) where ``mask`` (row, col) is False, with a trained flow.

    ``weights``, a file that ``microlocal train`` wrote, or an ``InpaintingFlow``; ``noise`` in the known pixels, which
    are denoised then; without it they are kept as they are, and the flow is told 0.5 % of their range; ``card`` of a
    flow that is given as an object. Large images are treated in windows with the result of the whole. Raises InputError
    for images, masks or weights that cannot be used.

    >>> known = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)) > 0.3
    >>> slope = torch.linspace(0, 1, 24).expand(24, 24)
    >>> found = inpaint_network(slope * known, known, InpaintingFlow(4, 3, steps=5))
    >>> bool((found.image[known] == slope[known]).all()), [c.kind.value for c in found.certificates]
    (True, ['proved'])
    """
    known = checked_mask(mask, tensor(image, WHO))
    y = checked_image(torch.where(known, image.detach(), torch.zeros_like(image)), WHO)
    network, told = (deepcopy(weights), card or {}) if isinstance(weights, nn.Module) else load_inpainting(weights)
    if not isinstance(network, InpaintingFlow):
        do = "Give weights of the task inpainting, or an InpaintingFlow."
        raise InputError(WHO, expected="a network that fills gaps", got=type(network).__name__, do=do)
    network = network.to(y.device, y.dtype if y.dtype == torch.float64 else torch.float32)
    sigma = y.new_full(y.shape[:-2], 0.0 if noise is None else positive(noise, "noise", WHO))
    fill = Filling(known)
    planes = fill(y.reshape(-1, *y.shape[-2:]).to(network.flow.log_pull.dtype))
    levels = [max(float(noise or 0.0), TOLD * float(plane.max() - plane.min())) for plane in planes]
    reach = (network.flow.steps + 1) * (network.flow.block.raw.shape[-1] - 1)

    def apply(plane: Float[Tensor, "row col"], level: float, _: int) -> Float[Tensor, "row col"]:
        def filled(part: Float[Tensor, "row col"], place: Place) -> Float[Tensor, "row col"]:
            found: Tensor = network.of_filled(known[place])(part[None, None], level)
            return found[0, 0]

        return by_windows(filled, plane, reach, WHOLE, progress=progress)

    trained = trained_range(told)
    found, scales, certificates = run_flow(network, apply, planes, levels, trained, WHO)
    whole = found.to(y.dtype).reshape(y.shape)
    rest = torch.where(known, y - whole, 0.0)
    far = int((fill.level > math.log2(max(reach, 1))).sum())
    provenance = torch.where(known, int(Provenance.MEASURED), int(Provenance.LEARNED)).to(torch.uint8)
    kept = "The known pixels were denoised." if noise is not None else "The known pixels were kept."
    share = 100 * (1 - float(known.double().mean()))
    return ImageEstimate(
        whole if noise is not None else torch.where(known, y, whole),
        rest,
        sigma,
        config=record(network, weights, told, scales),
        notes=(f"{share:.3g} % of the pixels were filled in.", kept, *[FAR.format(far)] * bool(far),
               *(unlike(scales, trained) if noise is not None else ())),
        certificates=certificates,
        provenance=provenance.expand(y.shape).clone(),
    )  # fmt: skip
