"""Shearlets: filters with a scale and a direction, and which of them a scan can see.

Problem. Write an image as a sum of edges of all sizes and directions. Shearlets do it with filters ψ_{j,k} that live in
the frequency plane in a ring of scale j, around the direction of shear k:

    |ψ̂_{j,k}(ξ)|² = W_j(max(|ξ_x|, |ξ_y|))² g(⌈2^{j/2}⌉ ξ_y/ξ_x - k)²,     Σ_{j,k} |ψ̂_{j,k}(ξ)|² = 1 for every ξ.

The sum over all filters is one (a Parseval frame), so |f|² is the sum of the energies of the coefficients. A scan of
limited angle measures, of every filter, the share of its directions that lie in the arc.
Claims: the identity holds to 1e-12; the share of an edge's energy that lies in filters of its direction is most of it.
"""

import math

import numpy as np
import torch
from drawing import INK, figure, legend, save
from matplotlib.colors import LinearSegmentedColormap, hsv_to_rgb

import microlocal as ml
from microlocal.wavefront import visible_share

SIZE = 192

# Setup: the frame, and 100 degrees of views.
frame = ml.ShearletFrame((SIZE, SIZE), scales=4)
beam = ml.ParallelBeam(tuple(np.radians(np.arange(-49.5, 50.0))), ml.Detector(2 * SIZE, 1.0))
share = visible_share(frame.filters, beam, ml.Grid((SIZE, SIZE), 1.0)).flatten()

# Solve: the filters in space are the responses to one bright pixel; their spectra tile the plane.
pixel = torch.zeros(SIZE, SIZE, dtype=torch.float64)
pixel[SIZE // 2, SIZE // 2] = 1.0
filters = frame(pixel)
energy = torch.fft.fftshift(torch.fft.fft2(filters).abs().square(), dim=(-2, -1)).numpy()  # (filter, -ξ_y, ξ_x)


def tile_colours() -> np.ndarray:
    """Return one colour a filter, (filter, 3): the hue is the direction, finer scales are stronger."""
    tiles = [(f.direction_rad / math.pi % 1, 0.25 + 0.18 * f.scale if f.scale >= 0 else 0.0) for f in frame.filters]
    flip = [(0.08 if f.scale >= 0 and (number % 2) else 0.0) for number, f in enumerate(frame.filters)]
    return hsv_to_rgb([(hue, strength, 0.97 - dark) for (hue, strength), dark in zip(tiles, flip, strict=True)])


def mixed(colours: np.ndarray) -> np.ndarray:
    """Return the colours mixed by |ψ̂|², which sum to one at every frequency."""
    return np.clip(np.einsum("krc,kn->rcn", energy, colours), 0, 1)


# Figure.
drawn = figure(11.0, 6.2)
panels = drawn.subplot_mosaic([["tiling", "share", "sum"], ["one", "two", "three"]])
limits = (-0.5, 0.5, -0.5, 0.5)
panels["tiling"].imshow(mixed(tile_colours()), extent=limits)
panels["tiling"].set_title(f"{len(frame.filters)} filters tile the frequency plane")
scale = LinearSegmentedColormap.from_list("share", ["#ff8a14", "#f2f2f2", "#12b5c1"])
panels["share"].imshow(mixed(scale(share.numpy())[:, :3]), extent=limits)
panels["share"].set_title("measured by 100° of views")
legend(panels["share"], {"measured": "#12b5c1", "not": "#ff8a14"}, loc="lower center", ncols=2, columnspacing=0.8)
for side in (1, -1):
    ends = 0.5 / math.tan(math.radians(50))
    panels["share"].plot([-ends, ends], [-side * 0.5, side * 0.5], "--", color=INK, lw=1)
gap = np.abs(energy.sum(axis=0) - 1).max()
chosen = [k for k, f in enumerate(frame.filters) if f.scale == 2]
cut = energy[:, SIZE // 2, SIZE // 2 :]
for k, f in enumerate(frame.filters):
    if f.scale < 0 or (f.cone == "horizontal" and f.shear == 0):
        label = "low-pass" if f.scale < 0 else f"j = {f.scale}"
        panels["sum"].plot(np.arange(cut.shape[1]) / SIZE, cut[k], lw=1.6, label=label)
panels["sum"].plot(np.arange(cut.shape[1]) / SIZE, cut.sum(axis=0), "--", color=INK, lw=1.2, label="sum of all")
panels["sum"].set(title="energy along ξ_y = 0", xlabel="ξ_x [1/pixel]", ylim=(0, 1.15))
panels["sum"].legend(fontsize=8, loc="center right")
for name in ("tiling", "share"):
    panels[name].set(xlabel="ξ_x [1/pixel]", ylabel="ξ_y [1/pixel]", xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
for name, number in zip(("one", "two", "three"), (chosen[0], chosen[1], chosen[6]), strict=True):
    f, zoom = frame.filters[number], slice(SIZE // 2 - 24, SIZE // 2 + 25)
    patch = filters[number, zoom, zoom].numpy()
    panels[name].imshow(patch, cmap="RdBu_r", vmin=-abs(patch).max(), vmax=abs(patch).max())
    panels[name].set(xticks=[], yticks=[], title=f"j = {f.scale}, normal {math.degrees(f.direction_rad):.0f}°")
print(save(drawn, "shearlets", dpi=88))

# The claims.
assert gap < 1e-12
vertical = torch.zeros(SIZE, SIZE, dtype=torch.float64)
vertical[:, SIZE // 4 : 3 * SIZE // 4] = 1.0  # two vertical edges: normals of 0 degrees
coefficients = frame(vertical - vertical.mean()).square().sum(dim=(-2, -1))
detail = torch.tensor([f.scale >= 1 for f in frame.filters])
along = torch.tensor([f.cone == "horizontal" and f.shear == 0 for f in frame.filters]) & detail
part = float(coefficients[along].sum() / coefficients[detail].sum())
print(f"sum of squares is 1 to {gap:.1e}; {100 * part:.1f} % of a vertical edge's detail has its direction")
assert part > 0.9
