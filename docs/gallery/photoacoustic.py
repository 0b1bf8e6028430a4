"""Photoacoustics from one side: which edges does the sound bring to the detectors?

Problem. A pulse of light heats vessels, which send out sound: ∂²p/∂t² = c² Δp from p = f at rest. Detectors on an arc
of 160° record p. An edge at x with normal n sends its wave along ±n, so

    it is visible exactly if the line x + s n, s real, meets the arc of detectors.

Of the image, f is found by least squares (conjugate gradients, stopped early) and with total variation and f >= 0.
Claim: with either, rims that are visible come back at least twice as sharp, in the median, as those that are not.
"""

import numpy as np
import torch
from drawing import MEASURED, UNDETERMINED, figure, save, show
from scipy.ndimage import map_coordinates

import microlocal as ml
from microlocal.data.phantoms import Ellipse, image
from microlocal.functionals import Box, GroupL1, SquaredDistance
from microlocal.operators import circular_detectors
from microlocal.solvers import Driver, Problem, Term, cgls, pdhg

# Setup, in mm and µs: discs of blood, detectors above, 1 % noise.
DISCS = [(1.0, 0.0, 0.0, 2.6), (0.7, -4.6, 2.4, 1.3), (0.9, 4.0, -3.6, 1.6)]  # value, x, y, radius
DISCS += [(0.8, 3.8, 4.0, 1.0), (1.0, -3.4, -4.4, 1.2)]
RADIUS, ARC = 11.0, np.radians(160.0)
grid = ml.Grid((128, 128), 0.125)
truth = torch.from_numpy(image([Ellipse(v, (r, r), (x, y)) for v, x, y, r in DISCS], grid, oversampling=4)).float()
detectors = circular_detectors(80, RADIUS, arc_rad=ARC, start_rad=np.pi / 2 - ARC / 2)
wave = ml.Photoacoustic(grid, detectors, torch.arange(160) * 0.08, speed=1.5)
data = wave(truth)
data = data + 0.01 * data.abs().max() * torch.randn(data.shape, generator=torch.Generator().manual_seed(0))

# Solve.
plain = cgls(wave, data, Driver(20, every=20)).value
terms = Term(wave, SquaredDistance(data)), Term(ml.Gradient(grid.shape), GroupL1(0.005), balance=0.03)
sparse = pdhg(Problem(terms, Box()), torch.zeros(grid.shape), Driver(150, every=150)).value

# Every rim in steps of 3 degrees: is it visible, and how steep is it?
turn = np.radians(np.arange(0.0, 360.0, 3.0))
value, cx, cy, radius = (np.array(column)[:, None] for column in zip(*DISCS, strict=True))
x, y = cx + radius * np.cos(turn), cy + radius * np.sin(turn)
along = x * np.cos(turn) + y * np.sin(turn)
reach = np.sqrt(RADIUS**2 - x**2 - y**2 + along**2)
ends = [np.arctan2(y + s * np.sin(turn), x + s * np.cos(turn)) for s in (reach - along, -reach - along)]
visible = np.any([np.abs((end - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi) < ARC / 2 for end in ends], axis=0)


def steepness(result: torch.Tensor) -> np.ndarray:
    """Return the largest slope across every rim over the disc's value, (disc, direction), in 1/mm."""
    across = np.arange(-0.5, 0.51, 0.05)[:, None, None]
    columns = (x + across * np.cos(turn) - grid.coordinates()[0][0]) / grid.pixel
    rows = (grid.coordinates()[1][0] - y - across * np.sin(turn)) / grid.pixel
    profiles = map_coordinates(result.double().numpy(), [rows, columns], order=1)
    return np.abs(np.diff(profiles, axis=0)).max(axis=0) / 0.05 / value


# Figure.
drawn = figure(12.6, 3.9)
left, second, third, chart = drawn.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
show(left, truth.numpy(), grid, "discs, rims, detectors", (0, 1.6))
for chosen, colour in ((visible, MEASURED), (~visible, UNDETERMINED)):
    left.scatter(x[chosen], y[chosen], s=5, color=colour)
left.plot(*detectors.T.numpy(), ".", color="black", ms=3)
left.set(xlim=(-11.5, 11.5), ylim=(-11.5, 11.5))
show(second, plain.numpy(), grid, "least squares", (0, 1.1))
show(third, sparse.numpy(), grid, "total variation", (0, 1.1))
bins = np.arange(0.0, 5.51, 0.25)
for chosen, colour, label in ((visible, MEASURED, "visible"), (~visible, UNDETERMINED, "not visible")):
    chart.hist(steepness(sparse)[chosen], bins, color=colour, alpha=0.75, label=label)
chart.set(
    title="steepness of rims, tv", xlabel="slope over height of the disc [1/mm]", ylabel="pieces of rims", yticks=[]
)
chart.set_box_aspect(0.9)
chart.legend(fontsize=9)
print(save(drawn, "photoacoustic", dpi=78))

# The claim.
for name, result in (("least squares", plain), ("tv", sparse)):
    sharp, blunt = (float(np.median(steepness(result)[chosen])) for chosen in (visible, ~visible))
    print(f"{name}: visible rims {sharp:.1f}/mm, others {blunt:.1f}/mm; {100 * visible.mean():.0f} % are visible")
    assert sharp > 2 * blunt
