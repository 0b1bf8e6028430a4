"""Which surfaces of a volume a scan sees: cone beam, a tilt series, laminography.

Problem. A surface through x with normal n shows in the data iff a measured ray through x runs in its tangent plane:

    n·(x - s(t)) = 0  for a source s(t) that sees x,      n·d(t) = 0  for the direction d(t) of parallel rays.

A circle of sources meets every plane through its middle, and fewer the farther x lies from its plane (Tuy's condition);
tilts within ±60° leave a wedge of normals, a tilted axis leaves a cone. All of it is known before any reconstruction.
Here: a ball with flat discs inside, inverted by its formula from exact data of each scan.
The flat faces of the discs lie on the border of what tilts measure, and little beyond it near the middle of a cone
beam; in doubt the label is undetermined.
Claim: the surface of the ball is sharper where it is labelled measured than where it is undetermined, in every image.
"""

import math

import numpy as np
import torch
from drawing import figure, save
from scipy import ndimage

import microlocal as ml
from microlocal.core.provenance import COLOURS, Provenance
from microlocal.data.phantoms3d import Ellipsoid, projections, volume
from microlocal.wavefront import label_surfaces, surface_fraction

# Setup: the object of the page on cone beams without its rods, and three scanners.
shapes = [Ellipsoid(0.02, (29.0, 29.0, 29.0))]
shapes += [Ellipsoid(0.02, (15.0, 15.0, 1.6), (0.0, 0.0, z)) for z in (-20.0, -12.0, -4.0, 4.0, 12.0, 20.0)]
grid = ml.VolumeGrid((80, 80, 80), 0.8)
truth = torch.from_numpy(volume(shapes, grid, oversampling=3))
panel = ml.FlatPanel(100, 80, (1.6, 1.6))
whole, tilts = (tuple(np.radians(np.arange(a, b, 2.0))) for a, b in ((0.0, 360.0), (-59.0, 60.0)))
near = ml.FlatPanel(100, 100, (0.8, 0.8))
scans = {
    "cone beam, full turn": ml.ConeBeam(whole, panel, source_axis=110.0, source_detector=200.0),
    "tilts within ±60°": ml.ParallelBeam3D(tilts, near),
    "laminography, axis at 45°": ml.ParallelBeam3D(whole, near, tilt_rad=math.radians(45.0)),
}

# Solve: an image by formula, and the labels of the object's surfaces, which need no data.
images, labels = {}, {}
for name, scan in scans.items():
    data = torch.from_numpy(projections(shapes, scan)).float()
    invert = ml.fdk if isinstance(scan, ml.ConeBeam) else ml.fbp_volume
    images[name] = invert(data, scan, grid).numpy()
    labels[name] = label_surfaces(truth, scan, grid).numpy()
share = surface_fraction(scans["cone beam, full turn"], ml.VolumeGrid((40, 1, 40), 1.6), normals=2048).numpy()[:, 0]

# Figure: the upright plane through the axis that the rays of the first view run along; for the tilts, whose wedge
# lies in every level plane, one of these, rays coming from below.
drawn = figure(13.4, 6.6)
panels = drawn.subplots(2, 4)
extent = (-32.0, 32.0, -32.0, 32.0)
for column, name in enumerate(scans):
    level = name.startswith("tilts")
    plane, found = (values[45] if level else values[::-1, ::-1, 40] for values in (images[name], labels[name]))
    for row in (0, 1):
        panels[row, column].imshow(plane, cmap="gray", vmin=0, vmax=0.045 + 0.04 * row, extent=extent)
    for code in (Provenance.MEASURED, Provenance.UNDETERMINED):
        z, y = np.nonzero(found == code)
        place = -31.6 + 0.8 * y, 31.6 - 0.8 * z
        panels[1, column].scatter(*place, s=7, color=COLOURS[code], linewidths=0, label=code.name.lower())
    panels[0, column].set_title(f"{name}: a level plane" if level else name)
panels[0, 3].imshow(truth.numpy()[::-1, :, 40], cmap="gray", vmin=0, vmax=0.045, extent=extent)
panels[0, 3].set_title("object")
shown = panels[1, 3].imshow(100 * share[::-1], cmap="viridis", vmin=90, vmax=100, extent=extent)
panels[1, 3].set_title("cone beam: normals measured, %")
drawn.colorbar(shown, ax=panels[1, 3], shrink=0.85)
panels[0, 0].set_ylabel("image")
panels[1, 0].set_ylabel("its surfaces")
panels[1, 0].legend(loc="lower left", fontsize=8, markerscale=2)
for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
print(save(drawn, "visible_surfaces", dpi=90))

# The claim: how steep the image is across the surface of the ball, by label.
z, y, x = np.meshgrid(*grid.coordinates()[::-1], indexing="ij")
outer = np.sqrt(x**2 + y**2 + z**2) > 26.0
for name, image in images.items():
    steep = ndimage.gaussian_gradient_magnitude(image, 1.5)
    measured, rest = (outer & (labels[name] == code) for code in (Provenance.MEASURED, Provenance.UNDETERMINED))
    sharper = float(np.median(steep[measured]) / np.median(steep[rest]))
    print(f"{name}: {measured.sum()} voxels measured, {rest.sum()} undetermined; sharper by {sharper:.1f}")
    assert sharper > 1.3
