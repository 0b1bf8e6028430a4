"""From a limited-angle scan to an image that says what was measured: the whole road in four panels.

    g = R f on 154 of 180°  ->  what can be seen?  ->  argmin_{f >= 0} 1/2 |R f - g|² + |SH(f)|_{1,w}  ->  labels

An edge of the image is labelled *measured* when the scan has the line that touches it, with a margin for the error of
its direction, and *undetermined* otherwise. Claim: no edge in the missing wedge is called measured, and no edge well
inside of the scanned arc undetermined.
"""

import numpy as np
from drawing import UNDETERMINED, draw_edges, figure, save, show

import microlocal as ml
from microlocal.core.provenance import Provenance
from microlocal.data import needle
from microlocal.wavefront import find_edges

# Setup: a slice of the needle that comes with the package; the image shows the middle of the field of view.
scan = needle().slices(2)
grid = ml.Grid((112, 112), scan.grid.pixel, unit=scan.grid.unit)

# Solve: the weight is given (what the data would choose), so that this is quick.
fbp = ml.reconstruct(scan, method="fbp", grid=grid)
result = ml.reconstruct(scan, method="shearlet", grid=grid, weight=12000.0, iterations=60)

# Figure.
drawn = figure(12.6, 3.8)
data, plain, sparse, labelled = drawn.subplots(1, 4)
half = grid.extent[1]
middle = slice(128 - 56, 128 + 56)
data.set_facecolor("#fff3e6")
data.imshow(scan.data.numpy().T[middle], cmap="gray", extent=(-77, 77, -half, half), aspect="auto")
for side in (-1, 1):
    data.axvspan(side * 77, side * 90, facecolor="#ffe3c4", edgecolor=UNDETERMINED, hatch="////", lw=0)
data.set(title="the scan: 26 of 180° missing", xlim=(-90, 90), xticks=[-77, 0, 77], yticks=[])
data.set_xticklabels(["−77°", "0°", "77°"], fontsize=9)
window = tuple(np.percentile(result.image.numpy(), [0.5, 99.8]))
show(plain, fbp.image.numpy(), grid, "filtered backprojection", window)
show(sparse, result.image.numpy(), grid, "sparse shearlets", window)
show(labelled, result.image.numpy(), grid, "what was measured", (window[0], 2 * window[1]))
draw_edges(labelled, result.edges.numpy(), grid, size=5)
labelled.legend(loc="lower right", fontsize=8, framealpha=0.9, markerscale=2)
data.set_box_aspect(1)
print(save(drawn, "overview"))

# The claim.
found, codes = find_edges(result.image), result.edges.numpy()
away = np.abs((np.degrees(found.normal_rad) + 90) % 180 - 90)  # from a horizontal normal
assert not (codes[away > 77] == Provenance.MEASURED).any()
assert not ((codes == Provenance.UNDETERMINED) & (away < 77 - np.degrees(found.error_rad) - 0.1)).any()
print(f"{(codes == 1).sum()} edge pixels measured, {(codes == 3).sum()} undetermined")
