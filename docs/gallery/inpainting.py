"""Inpainting: three quarters of the pixels are missing, and scratches go through the rest.

Problem. Given y = M x, with M zero at missing pixels, find x. Among all images that agree with the known pixels take
one with few shearlet coefficients, by thresholding with a falling threshold:

    x <- W⁺ H_{λ_n}(W(x + M (y - x))),    λ_1 > λ_2 > …

Compared with the biharmonic spline of scikit-image, Δ²x = 0 in the gaps, which knows smoothness but no curves.
Claim: shearlets are at least 0.4 dB above the spline, and known pixels come back unchanged.
"""

import numpy as np
import torch
from drawing import figure, save
from skimage.data import camera
from skimage.restoration import inpaint_biharmonic

import microlocal as ml

# Setup: random pixels and four straight scratches are lost.
truth = torch.from_numpy(camera()[40:232, 130:322].astype(np.float32) / 255)
mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) > 0.75
r, c = torch.meshgrid(torch.arange(192), torch.arange(192), indexing="ij")
for slope, offset in ((0.5, 20), (-0.8, 190), (2.0, -150), (0.1, 140)):
    mask &= (r - slope * c - offset).abs() / (1 + slope**2) ** 0.5 > 2

# Solve.
shearlets = ml.inpaint(truth * mask, mask)
spline = torch.from_numpy(inpaint_biharmonic((truth * mask).numpy(), ~mask.numpy())).float()


def psnr(image: torch.Tensor) -> float:
    """Return the peak signal to noise ratio in dB for a peak of one."""
    return float(-10 * torch.log10((image - truth).square().mean()))


# Figure.
drawn = figure(11.5, 3.2)
panels = {
    f"known: {100 * float(mask.float().mean()):.0f} %": truth * mask,
    f"biharmonic: {psnr(spline):.2f} dB": spline,
    f"shearlets: {psnr(shearlets.image):.2f} dB": shearlets.image,
    "photograph": truth,
}
for axes, (title, image) in zip(drawn.subplots(1, 4), panels.items(), strict=True):
    axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
print(save(drawn, "inpainting", dpi=75))

# The claims.
print(f"shearlets {psnr(shearlets.image):.2f} dB, biharmonic {psnr(spline):.2f} dB. {' '.join(shearlets.notes)}")
assert psnr(shearlets.image) > psnr(spline) + 0.4
assert torch.equal(shearlets.image[mask], truth[mask])
