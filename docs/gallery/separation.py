"""Separation of curves from points: fibres with particles on them, taken apart.

Problem. y = C + P + noise: the sum of an image of curves and one of points, both unknown. A curve needs few shearlets
and many wavelets, a point few wavelets and many shearlets; so look for the pair that needs few of both,

    argmin |W_shearlet C|_0 + |W_wavelet P|_0     with C + P = y up to the noise,

by a threshold that falls from the largest coefficient of either: what fits best is taken first. Donoho and Kutyniok
(2013) prove, by the wavefront sets of curves and points, that this separates them at fine scales.
Claim: both parts are nearer to the truth than half of what simple rules give (all to the curves, all to the points).
"""

import torch
from drawing import figure, save

import microlocal as ml
from microlocal.reconstruction.images.separate import curves_and_points

# Setup: two arcs, forty spots, some of them on the arcs, and 2 % noise.
SIZE = 160
curves, points = curves_and_points(SIZE, 40)
noise = 0.02 * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
data = curves + points + noise

# Solve.
result = ml.separate(data)


def error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Return |found - truth| / |truth|."""
    return float((found - truth).norm() / truth.norm())


errors = {"curves": error(result.parts["curves"], curves), "points": error(result.parts["points"], points)}

# Figure.
drawn = figure(11.0, 7.6)
panels = {
    "data": data,
    f"curves found: error {errors['curves']:.2f}": result.parts["curves"],
    f"points found: error {errors['points']:.2f}": result.parts["points"],
    "unexplained": result.residual,
    "true curves": curves,
    "true points": points,
}
places = drawn.subplot_mosaic([[0, 1, 2], [3, 4, 5]])
for number, (title, image) in enumerate(panels.items()):
    places[number].imshow(image.numpy(), cmap="gray", vmin=-0.1, vmax=1, interpolation="nearest")
    places[number].set(title=title, xticks=[], yticks=[])
print(save(drawn, "separation", dpi=75))

# The claims.
simple = {"curves": error(data, curves), "points": error(data, points)}
print(", ".join(f"{name}: {errors[name]:.3f}, all to them {simple[name]:.3f}" for name in errors))
assert errors["curves"] < 0.5 * simple["curves"]
assert errors["points"] < 0.5 * simple["points"]
assert float(result.residual.std()) < 0.03
