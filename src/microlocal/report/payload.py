"""What the page's script draws: every reconstruction as 16-bit samples with its place in space and its code maps.

A stack of slices or an image of many millions of pixels would make the page too heavy to mail; then slices are spread
evenly and images are averaged in blocks, and the page says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import ShapeError
from microlocal.core.provenance import COLOURS
from microlocal.reconstruction.result import Reconstruction
from microlocal.report.encode import base64_text, codes2, samples16, shrink
from microlocal.wavefront.lengths import edge_lengths

SIDE = 1024  # pixels: the largest side that is embedded
PIXELS = 3_000_000  # over all slices and methods (twice where a network took part); 2.7 bytes of page each
SLICES = 16


@dataclass(frozen=True)
class Stack:
    """The images of one reconstruction as (slice, row, col), whatever batch axes it had."""

    label: str
    result: Reconstruction
    image: NDArray[np.float64]
    provenance: NDArray[np.uint8]
    edges: NDArray[np.uint8]
    visible: NDArray[np.float64] | None = None
    edges_visible: NDArray[np.uint8] | None = None


def stacks(results: Sequence[Reconstruction]) -> list[Stack]:
    """Flatten the batch axes of every reconstruction and give it a label of its own.

    Raises ShapeError when an image does not fit its scan's grid or two reconstructions differ in their slices.
    """
    found: list[Stack] = []
    for result in results:
        shape = result.scan.grid.shape
        if tuple(result.image.shape[-2:]) != shape:
            raise ShapeError(
                "write_report",
                expected=f"an image on its scan's grid (*batch, {shape[0]}, {shape[1]}) [row, col]",
                got=str(tuple(result.image.shape)),
                do="Give the reconstruction's scan the grid that was used.",
            )
        maps = (result.image.double(), result.provenance, result.edges)
        image, provenance, edges = (_pages(m, shape) for m in maps)
        same = sum(other.result.method == result.method for other in found)
        label = result.method + (f" ({same + 1})" if same else "")
        visible = None if result.learned is None else _pages(result.visible.double(), shape)
        edges_visible = None if result.edges_visible is None else _pages(result.edges_visible, shape)
        found.append(Stack(label, result, image, provenance, edges, visible, edges_visible))
    if len({stack.image.shape[0] for stack in found}) > 1:
        raise ShapeError(
            "write_report",
            expected="reconstructions with the same number of slices",
            got=", ".join(f"{stack.label}: {stack.image.shape[0]}" for stack in found),
            do="Compare reconstructions of the same scan.",
        )
    return found


def _pages(image: Tensor, shape: tuple[int, int]) -> NDArray[Any]:
    return to_numpy(image).reshape(-1, *shape)


def chosen_slices(found: Sequence[Stack]) -> list[int]:
    """Return the slices that the page holds: all if they fit, evenly spread ones otherwise."""
    count = found[0].image.shape[0]
    each = sum(min(s.image[0].size, SIDE * SIDE) * (1 if s.visible is None else 2) for s in found)
    kept = max(1, min(count, SLICES, PIXELS // each))
    return sorted({int(k) for k in np.round(np.linspace(0, count - 1, kept) if kept > 1 else [count // 2])})


def build_payload(found: Sequence[Stack], slices: Sequence[int]) -> dict[str, Any]:
    """Return everything the page's script needs, as plain JSON values."""
    grid = found[0].result.scan.grid
    viridis = np.round(matplotlib.colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return {
        "unit": grid.unit,
        "slices": list(slices),
        "window": _window([s.image[list(slices)] for s in found]),
        "viridis": base64_text(viridis.tobytes()),
        "inks": {int(kind): list(bytes.fromhex(colour[1:])) for kind, colour in COLOURS.items()},
        "layers": [_layer(stack, slices) for stack in found],
    }


def _layer(stack: Stack, slices: Sequence[int]) -> dict[str, Any]:
    images = [shrink(stack.image[k], SIDE) for k in slices]
    before = None if stack.visible is None else [shrink(stack.visible[k], SIDE) for k in slices]
    rows, cols = images[0].shape
    every = images + (before or [])
    low, high = min(float(np.nanmin(i)) for i in every), max(float(np.nanmax(i)) for i in every)
    left, _, _, top = stack.result.scan.grid.extent
    block = stack.image.shape[-1] // cols
    layer = {
        "label": stack.label,
        "rows": rows,
        "cols": cols,
        "pixel": stack.result.scan.grid.pixel * block,
        "left": left,
        "top": top,
        "low": low,
        "high": high,
        "samples": [samples16(image, low, high) for image in images],
        "edges": [codes2(shrink(stack.edges[k], SIDE, largest=True)) for k in slices],
        "provenance": [codes2(shrink(stack.provenance[k], SIDE, largest=True)) for k in slices],
        "lengths": _lengths(stack.edges, stack, slices),
    }
    if before is None:
        return layer
    edges = stack.edges if stack.edges_visible is None else stack.edges_visible
    return layer | {
        "visible": [samples16(image, low, high) for image in before],
        "edgesVisible": [codes2(shrink(edges[k], SIDE, largest=True)) for k in slices],
        "lengthsVisible": _lengths(edges, stack, slices),
    }


def _lengths(edges: NDArray[np.uint8], stack: Stack, slices: Sequence[int]) -> list[dict[int, float]]:
    """Return the length of the edges of each provenance, in the grid's unit, slice by slice."""
    pixel = stack.result.scan.grid.pixel
    return [{int(kind): pixel * n for kind, n in edge_lengths(edges[k]).items()} for k in slices]


def _window(images: Sequence[NDArray[np.float64]]) -> list[float]:
    """The display window: the 0.5 and 99.7 percentiles of the first reconstruction, never empty."""
    low, high = (float(v) for v in np.nanpercentile(images[0], [0.5, 99.7]))
    return [low, high if high > low else low + max(abs(low), 1.0) * 1e-3]
