"""Registration by a diffeomorphism, which can be undone.

Problem. f(x) = m(x + u(x)) + noise for a photograph m, seen with noise as well, and an unknown displacement u. Fitted
is the flow of one velocity field, a residual network with the same weights in every layer:

    min over v of  |m ∘ exp(v) - f|²/(N var f) + α mean |∇v|²,      v a cubic spline that vanishes at the border

exp(-v) is the inverse, and the Jacobian determinants are positive: nothing folds. The noise is 5/255; u turns the
middle and pushes it aside, by up to 11 pixels of 160.

Claim: u is found to a quarter of a pixel on average where it is larger than one; warp and inverse cancel to a tenth of
a pixel; the areas change by factors that are positive everywhere.
"""

import numpy as np
import torch
from drawing import ACCENT, figure, save
from matplotlib.axes import Axes
from skimage.data import camera

from microlocal.networks import register_images
from microlocal.networks.stable.warps import exponential, warped

FINE, SIZE, NOISE = 480, 160, 5 / 255


def coarse(image: torch.Tensor) -> torch.Tensor:
    """Return means over 3 x 3 pixels."""
    return torch.nn.functional.avg_pool2d(image[None], FINE // SIZE)[0]


# Setup: the photograph at three times the resolution, so that its warp owes nothing to the interpolation of the fit.
photograph = torch.from_numpy(np.ascontiguousarray(camera()[16:496, 16:496])).double() / 255
axis = (torch.arange(FINE, dtype=torch.float64) + 0.5) / FINE - 0.5
row, col = torch.meshgrid(axis, axis, indexing="ij")
bump = FINE * torch.exp(-(row**2 + col**2) / 0.05)
true_fine = exponential(torch.stack([(0.03 - 0.45 * col) * bump, (0.45 * row - 0.02) * bump]), 9)
draw = torch.Generator().manual_seed(0)
moving, fixed = (
    coarse(image[None])[0] + NOISE * torch.randn(SIZE, SIZE, generator=draw, dtype=torch.float64)
    for image in (photograph, warped(photograph, true_fine))
)
truth = coarse(true_fine) * SIZE / FINE

# Solve.
found = register_images(moving, fixed, spacing=12.0)
error = (found.warp - truth).norm(dim=0)
moved = truth.norm(dim=0) > 1

# Figure.
drawn = figure(9.0, 6.2)
panels = drawn.subplot_mosaic([["moving", "fixed", "before"], ["apply", "grid", "after"]])


def shown(axes: Axes, image: torch.Tensor, title: str, low: float = 0.0, high: float = 1.0) -> None:
    """Show an image in grey, without ticks."""
    axes.imshow(image.numpy(), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])


shown(panels["moving"], moving, "moving m")
shown(panels["fixed"], fixed, "fixed f")
shown(panels["before"], fixed - moving, "f − m", -0.4, 0.4)
shown(panels["apply"], found.apply(moving), "m ∘ exp(v)")
shown(panels["after"], fixed - found.apply(moving), "f − m ∘ exp(v)", -0.4, 0.4)
shown(
    panels["grid"],
    found.jacobian,
    f"det: {found.jacobian.min():.2f} to {found.jacobian.max():.2f}; grid of m on f",
    0.7,
    1.2,
)
places = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")) + found.inverse
for k in range(0, SIZE, 8):
    panels["grid"].plot(places[1, k], places[0, k], color=ACCENT, lw=1.2)
    panels["grid"].plot(places[1, :, k], places[0, :, k], color=ACCENT, lw=1.2)
panels["grid"].set(xlim=(0, SIZE - 1), ylim=(SIZE - 1, 0))
print(save(drawn, "registration", dpi=80, few=True))

# The claim.
print(f"moved by up to {truth.norm(dim=0).max():.1f} pixels, found to {error[moved].mean():.2f} on average")
print(f"warp and inverse cancel to {found.inverse_error():.2f} pixels")
assert float(error[moved].mean()) < 0.25
assert found.inverse_error() < 0.1
assert float(found.jacobian.min()) > 0
