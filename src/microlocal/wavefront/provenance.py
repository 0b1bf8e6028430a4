"""Where the pixels of a reconstruction come from, told by the frame coefficients around them.

    measured(x) = Σ_i mean over a window of share_i |c_i|²,    undetermined(x) the same with 1 - share_i

Where a network has added to an image, the invisible part of its addition is learned, and what is undetermined is the
invisible part of the image that it began from.

The local mean of the low-pass coefficients is grey level, not structure, and is left out: only their variation
inside the window counts, with the fraction of measured directions as its share.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.provenance import Provenance
from microlocal.frames.base import FilterIndex
from microlocal.wavefront.coefficients import check_share

# Local energy below this part of the image's largest is an empty, flat neighbourhood.
FLAT = 1e-10


def _local_mean(values: Float[Tensor, "*batch row col"], window: int) -> Float[Tensor, "*batch row col"]:
    planes = values.reshape(-1, 1, *values.shape[-2:])
    mean = functional.avg_pool2d(planes, window, stride=1, padding=window // 2, count_include_pad=False)
    return mean.reshape(values.shape)


def local_energies(
    coefficients: Float[Tensor, "*batch filter row col"],
    share: Float[Tensor, "filter #row #col"],
    filters: tuple[FilterIndex, ...],
    window: int,
) -> tuple[Float[Tensor, "*batch row col"], Float[Tensor, "*batch row col"]]:
    """Return the (measured, undetermined) energy around each pixel, averaged over window x window pixels."""
    weight = share.to(coefficients)
    measured = torch.zeros_like(coefficients[..., 0, :, :])
    undetermined = torch.zeros_like(measured)
    for k, index in enumerate(filters):
        energy = coefficients[..., k, :, :]
        if index.scale < 0:
            energy = energy - _local_mean(energy, window)
        energy = _local_mean(energy.abs().square(), window)
        measured += energy * weight[k]
        undetermined += energy * (1 - weight[k])
    return measured, undetermined


def pixel_provenance(
    coefficients: Float[Tensor, "*batch filter row col"],
    share: Float[Tensor, "filter #row #col"],
    filters: tuple[FilterIndex, ...],
    *,
    learned: Float[Tensor, "*batch filter row col"] | None = None,
    window: int = 7,
) -> UInt8[Tensor, "*batch row col"]:
    """Return MEASURED, LEARNED or UNDETERMINED (codes of ``core.provenance``) for every pixel of a reconstruction.

    ``coefficients`` are those of the reconstruction, or of what a network began from where ``learned`` are those of
    its addition, in a frame with these ``filters``; ``share`` is ``visible_share`` of them; ``window`` is odd, in
    pixels. A pixel is MEASURED when at least half of the energy of the structure in the window around it lies in
    measured directions. Otherwise it is LEARNED when the network has put at least as much into the other directions
    as was there, else UNDETERMINED; so are pixels where no line at all is measured. In a flat window, without
    structure, it is MEASURED when at least half of all directions are.

    It answers "does the structure that I see here lie in directions that the scan measures?". It does not say that
    nothing is missing here (``measured_fraction`` does), that it is no artefact, nor that the grey value is right.

    Raises ShapeError where coefficients, share and filters do not fit, InputError for an even window.
    """
    check_share(coefficients, share, "pixel_provenance")
    if at_least(window, 1, "window", "pixel_provenance") % 2 == 0 or len(filters) != share.shape[0]:
        raise InputError(
            "pixel_provenance",
            expected=f"an odd window and {share.shape[0]} filters",
            got=f"window = {window}, {len(filters)} filters",
            do="Pass frame.filters and an odd window.",
        )
    measured, undetermined = local_energies(coefficients, share, filters, window)
    added = torch.zeros_like(measured)
    if learned is not None:
        check_share(learned, share, "pixel_provenance")
        _, added = local_energies(learned, share, filters, window)
    return energy_provenance(measured, undetermined, added, share)


def energy_provenance(
    measured: Float[Tensor, "*batch row col"],
    undetermined: Float[Tensor, "*batch row col"],
    added: Float[Tensor, "*batch row col"],
    share: Float[Tensor, "filter #row #col"],
) -> UInt8[Tensor, "*batch row col"]:
    """Return the codes of :func:`pixel_provenance` from the energies around each pixel.

    ``added`` is the invisible energy of what a network added, zero without one.
    """
    total = measured + undetermined + added
    flat = total <= FLAT * total.amax(dim=(-2, -1), keepdim=True)
    supported = torch.where(flat, share.mean(dim=0) >= 0.5, measured >= undetermined + added)
    codes = torch.full_like(total, int(Provenance.UNDETERMINED), dtype=torch.uint8)
    codes = codes.masked_fill((added >= undetermined) & (added > 0), int(Provenance.LEARNED))
    return codes.masked_fill(supported & (share.amax(dim=0) > 0), int(Provenance.MEASURED))
