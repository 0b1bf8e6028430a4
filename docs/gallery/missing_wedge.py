"""A missing wedge, and what it hides.

Problem. Views t in [-50°, 50°] of a parallel beam measure the lines (φ, s) with |φ| <= 50°. An edge at x with normal φ
shows in the data only through the line that touches it, (φ, s = x cos φ + y sin φ). So of a disc's rim

    the part with normals |φ| <= 50° is determined, stably; the rest leaves no edge in the data.

Here: a disc with holes, its exact sinogram, filtered backprojection, and the sharpness of the rim by direction.
Claim: the rim is sharp where it is measured, and several times weaker where it is not.
"""

import numpy as np
import torch
from drawing import MEASURED, UNDETERMINED, draw_edges, figure, save, show
from scipy.ndimage import map_coordinates

import microlocal as ml
from microlocal.data.phantoms import Ellipse, image, sinogram
from microlocal.wavefront import is_measured, measured_range

HALF_ARC = 50.0
RADIUS = 40.0

# Setup: a disc with four holes, and the exact line integrals of a limited arc.
holes = [Ellipse(-1.0, (7.0, 7.0), center) for center in ((-17.0, 12.0), (17.0, 12.0), (0.0, -20.0))]
shapes = [Ellipse(1.0, (RADIUS, RADIUS)), *holes, Ellipse(-1.0, (12.0, 2.5), (0.0, 27.0))]
angles = np.radians(np.arange(-HALF_ARC + 0.25, HALF_ARC, 0.5))
beam = ml.ParallelBeam(tuple(angles), ml.Detector(160, 0.6))
grid = ml.Grid((160, 160), 0.6)
truth = image(shapes, grid, oversampling=4)
scan = ml.Scan(torch.from_numpy(sinogram(shapes, beam)).float(), beam, grid)

# Solve.
result = ml.reconstruct(scan, method="fbp")

# The sharpness of the rim: the steepest slope across it, for every normal direction.
normals = np.radians(np.arange(-90.0, 90.0, 2.0))
across = np.arange(-3.0, 3.01, 0.3)
radii = RADIUS + across
x, y = radii[:, None] * np.cos(normals), radii[:, None] * np.sin(normals)
rows, cols = (grid.coordinates()[1][0] - y) / grid.pixel, (x - grid.coordinates()[0][0]) / grid.pixel
profiles = map_coordinates(result.image.double().numpy(), [rows, cols], order=1)
sharpness = np.abs(np.diff(profiles, axis=0)).max(axis=0) / 0.3
seen = is_measured(beam, RADIUS * np.cos(normals), RADIUS * np.sin(normals), normals)

# Figure.
drawn = figure(11.5, 3.3)
left, middle, right, chart = drawn.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
show(left, truth, grid, "object", (-0.3, 1.3))
show(middle, result.image.numpy(), grid, "backprojection of 100°", (-0.3, 1.3))
show(right, result.image.numpy(), grid, "its edges", (-0.3, 2.6))
draw_edges(right, result.edges.numpy(), grid)
relative = sharpness / sharpness[seen].mean()
for chosen, colour, label in ((seen, MEASURED, "measured"), (~seen, UNDETERMINED, "undetermined")):
    chart.plot(np.degrees(normals[chosen]), relative[chosen], "o", ms=4, color=colour, label=label)
chart.axvspan(-HALF_ARC, HALF_ARC, color=MEASURED, alpha=0.12, lw=0)
chart.set(title="sharpness of the rim", xlabel="direction of the normal [degrees]", ylim=(0, 1.6), xlim=(-90, 90))
chart.set_box_aspect(0.85)
chart.set_xticks([-90, -50, 0, 50, 90])
chart.legend(fontsize=8, loc="lower center")
print(save(drawn, "missing_wedge"))

# The claim. (At the border of the wedge nothing is guaranteed: 10 degrees are left out on either side.)
inside, outside = np.abs(np.degrees(normals)) < HALF_ARC - 10, np.abs(np.degrees(normals)) > HALF_ARC + 10
ratio = sharpness[inside].min() / sharpness[outside].max()
((low, high),) = measured_range(beam, 0.0, 0.0)
print(f"measured {np.degrees(high - low):.0f} of 180 degrees; the measured rim is at least {ratio:.1f} times sharper")
assert ratio > 3
