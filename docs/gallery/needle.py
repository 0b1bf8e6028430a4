"""A real limited-angle scan by four methods, scored on views that none of them saw.

Problem. A needle in an electron microscope, tilted from -76° to 76°: g = R f + noise with 26° of directions missing.
There is no ground truth. So seven of the 77 views are kept out; every method reconstructs f from the rest, and

    hold-out error = |R_out f - g_out| / |g_out|

says how well its image predicts what it has not seen. The methods:

    fbp       a linear formula                cgls      argmin |R f - g|², stopped early
    tv        argmin_{f >= 0} 1/2 |R f - g|² + λ Σ |D f|
    shearlet  argmin_{f >= 0} 1/2 |R f - g|² + |SH(f)|_{1,w}

with λ and w as the discrepancy principle chooses them. Claim: tv and shearlet predict better than fbp and cgls.
"""

import numpy as np
from drawing import ACCENT, INK, draw_edges, figure, save, show

import microlocal as ml
from microlocal.data import needle

METHODS = ("fbp", "cgls", "tv", "shearlet")

# Setup: one slice, on the whole field of view with pixels twice as large as the detector's, which keeps this quick.
scan = needle().slices(3)
grid = ml.Grid((128, 128), 6.72, unit="nm")

# Solve.
chosen = {"tv": 2.7e4, "shearlet": 2.7e4}  # what the search finds, to save its time
results = {
    name: ml.reconstruct(
        scan,
        name,
        grid=grid,
        hold_out=7,
        weight=chosen.get(name, "auto"),
        iterations=120 if name in chosen else None,
    )
    for name in METHODS
}
errors = {name: result.metrics["hold-out error"] for name, result in results.items()}

# Figure.
drawn = figure(9.0, 6.1)
panels = drawn.subplot_mosaic([["fbp", "cgls", "errors"], ["tv", "shearlet", "edges"]])
window = tuple(np.percentile(results["tv"].image.numpy(), [0.5, 99.8]))
for name, result in results.items():
    show(panels[name], result.image.numpy(), grid, name, window)
show(panels["edges"], results["shearlet"].image.numpy(), grid, "edges of shearlet", (window[0], 2 * window[1]))
draw_edges(panels["edges"], results["shearlet"].edges.numpy(), grid, size=9)
panels["edges"].legend(loc="lower left", fontsize=8, framealpha=0.9, markerscale=2)
for name in (*METHODS, "edges"):
    panels[name].set(xlim=(-190, 190), ylim=(-190, 190))
bars = panels["errors"].barh(list(errors), [100 * e for e in errors.values()], color=[INK, INK, ACCENT, ACCENT])
panels["errors"].bar_label(bars, fmt="%.2f %%", padding=3)
panels["errors"].set(title="hold-out error", xticks=[], xlim=(0, 130 * max(errors.values())))
panels["errors"].invert_yaxis()
panels["errors"].spines[["top", "right", "bottom"]].set_visible(False)
print(save(drawn, "needle"))

# The claim.
print(", ".join(f"{name} {error:.2%}" for name, error in errors.items()))
assert max(errors["tv"], errors["shearlet"]) < min(errors["fbp"], errors["cgls"])
