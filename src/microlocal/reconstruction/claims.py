"""What is claimed of an image, whatever method made it: where its pixels come from, and what is certified of it.

A scan is examined as a whole by ``reconstruct``; of a stack each slice by itself, with the same words and numbers.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from microlocal.certificates.base import Certificate
from microlocal.certificates.data import certify_residual
from microlocal.certificates.frames import certify_parseval
from microlocal.certificates.operators import certify_adjoint, certify_norm
from microlocal.frames.shearlet import ShearletFrame
from microlocal.operators.ray_transform import RayTransform
from microlocal.wavefront.energies import image_energies
from microlocal.wavefront.provenance import energy_provenance


def all_directions(frame: ShearletFrame, share: Float[Tensor, "filter #row #col"]) -> Float[Tensor, "#row #col"]:
    """Return the share of the low-pass filter, which looks in all directions: ``measured_fraction``."""
    return share[next(k for k, index in enumerate(frame.filters) if index.scale < 0)]


def told_sources(
    image: Float[Tensor, "*batch row col"],
    learned: Float[Tensor, "*batch row col"] | None,
    frame: ShearletFrame,
    share: Float[Tensor, "filter #row #col"],
) -> tuple[dict[str, float], UInt8[Tensor, "*batch row col"]]:
    """Return how the energy of all coefficients of f is split, as metrics, and where the pixels come from.

    ``learned`` is what a network added, None without one. It has a part of the undetermined energy as large as its own
    is of the sum of its own and that of f*: with the rest, measured and learned are one.
    """
    whole = image_energies(image, frame, share)
    measured, undetermined = float(whole.measured_sum.sum()), float(whole.undetermined_sum.sum())
    total = measured + undetermined or math.nan
    shares = {"energy in measured shearlets": measured / total}
    if learned is None:
        nothing = torch.zeros_like(whole.measured)
        return shares, energy_provenance(whole.measured, whole.undetermined, nothing, share)
    before = image_energies(image - learned, frame, share)
    added = image_energies(learned, frame, share)
    own, others = float(added.undetermined_sum.sum()), float(before.undetermined_sum.sum())
    shares["energy in learned shearlets"] = undetermined / total * own / (own + others or 1.0)
    return shares, energy_provenance(before.measured, before.undetermined, added.undetermined, share)


def certify_explained(
    ray: RayTransform,
    image: Float[Tensor, "*batch row col"],
    data: Float[Tensor, "*batch angle detector"],
    config: Mapping[str, Any],
) -> Certificate:
    """Certify that an image explains its data about as well as its method aimed at, as ``config`` says.

    The zero image has residual one: a method without a target must at least explain more than nothing.
    """
    return certify_residual(ray, image, data, 1.1 * float(config.get("target residual", 1 / 1.1)))


def certify_operators(ray: RayTransform, frame: ShearletFrame) -> tuple[Certificate, ...]:
    """Certify what an image rests on, the projector and the frame: it depends on geometry and grid alone."""
    return certify_adjoint(ray), certify_norm(ray), certify_parseval(frame)
