"""What is common to image methods by a stopped flow: the scale of every plane, the run, its certificates and record."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Certificate
from microlocal.core.checks import finite
from microlocal.networks.flow_behind import FlowBehind
from microlocal.networks.weights import name_of
from microlocal.reconstruction.images.proved import certificates_of
from microlocal.reconstruction.images.scale import Scale, fixed, scale_of

Plane = Float[Tensor, "row col"]


class FlowRun(NamedTuple):
    """What a flow made of planes (image, row, col), how each was scaled, and what is proved of it."""

    found: Float[Tensor, "image row col"]
    scales: list[Scale]
    certificates: tuple[Certificate, ...]


def run_flow(
    network: FlowBehind,
    apply: Callable[[Plane, float, int], Plane],
    planes: Float[Tensor, "image row col"],
    levels: Sequence[float],
    trained: tuple[float, float] | None,
    who: str,
) -> FlowRun:
    """Return a + s N((y - a)/s, σ/s) for every plane; one of a single value as it is.

    ``network`` is what is proved something of, ``apply(plane, level, k)`` N of plane k. Raises InputError where the
    result is not finite.
    """
    scales = [scale_of(plane, level, trained, who) for plane, level in zip(planes, levels, strict=True)]

    def run(plane: Plane, k: int) -> Plane:
        black, span, noise = scales[k]
        if noise == 0:
            return plane
        with torch.no_grad():
            return black + span * apply((plane - black) / span, levels[k] / span, k)

    told = [level / scale.span for level, scale in zip(levels, scales, strict=True)]
    do = "Train again, or take other weights: microlocal certify says what is wrong with these."
    found = finite(torch.stack([run(plane, k) for k, plane in enumerate(planes)]), "the result of the flow", do)
    return FlowRun(found, scales, certificates_of(network, planes, found, run, fixed(scales, list(levels)), told))


def record(
    network: FlowBehind, weights: str | Path | nn.Module, card: Mapping[str, Any], scales: Sequence[Scale]
) -> dict[str, Any]:
    """Return what was chosen: the weights by name, the steps and times of the flow, and the scales."""
    name = name_of(weights) if isinstance(weights, str | Path) else str(card.get("name", type(weights).__name__))
    flow = network.behind(network.least_shape())
    return {
        "weights": name,
        "steps": flow.steps,
        "stopping time": float(flow.time().detach()),
        "longest stable time": flow.longest(),
        "black": [scale.black for scale in scales],
        "span": [scale.span for scale in scales],
    }
