"""Certificates, and how to attack them.

Problem. A result is worth as much as what is known of it. A certificate is a claim `value <= bound` with its
hypotheses and an attack: a search for a counterexample.

    adjoint    |<A x, y> - <x, A* y>| <= 1e-10 |A x| |y|     attacked by other random pairs
    norm       |R x| <= L |x|                                attacked by power iteration, from below
    Parseval   | |SH x|² - |x|² | <= 1e-12 |x|²              attacked by noise, a pixel, a wave
    residual   |R f - g| <= δ |g|                            attacked with a second, independent projector

Here: each certificate of a sound object, and of one that was damaged on purpose. Claim: every sound certificate
survives its attack, and every damaged one is refuted by it.
"""

from dataclasses import replace

import numpy as np
import torch
from drawing import INK, MEASURED, UNDETERMINED, figure, legend, save
from matplotlib.axes import Axes
from torch import Tensor

import microlocal as ml
from microlocal.certificates import Certificate, certify_adjoint, certify_norm, certify_parseval, certify_residual
from microlocal.operators import norm_estimate

SIZE = 48
SEEDS = range(12)


class Mismatched(ml.RayTransform):
    """A projector whose adjoint is half a percent too large: too little to be seen in an image."""

    def _adjoint(self, y: Tensor) -> Tensor:
        return 1.005 * super()._adjoint(y)


class Lossy(ml.ShearletFrame):
    """A frame that weakens one of its filters by a percent and still claims the bounds 1 and 1."""

    def _forward(self, x: Tensor) -> Tensor:
        coefficients = super()._forward(x)
        coefficients[..., 5, :, :] *= 0.99
        return coefficients

    def bounds(self) -> tuple[float, float]:
        return 1.0, 1.0


# Setup: a fan-beam scan of a square, and an image with a dent that the data contradict.
angles = tuple(np.radians(np.arange(0.0, 120.0, 3.0)))
fan = ml.FanBeam(angles, ml.Detector(70, 1.4), source_axis=120.0, source_detector=160.0)
grid = ml.Grid((SIZE, SIZE), 1.0)
ray = ml.RayTransform(fan, grid)
image = torch.zeros(SIZE, SIZE, dtype=torch.float64)
image[14:34, 10:30] = 1.0
data = ray(image)
noise = torch.randn(data.shape, dtype=data.dtype, generator=torch.Generator().manual_seed(0))
data = data + 0.02 * data.max() * noise
dented = image.clone()
dented[18:26, 14:26] = 0.5

# Solve: (sound, damaged) for every claim.
adjoint = certify_adjoint(ray), certify_adjoint(Mismatched(fan, grid))
norm = certify_norm(ray)
parseval = certify_parseval(ml.ShearletFrame((SIZE, SIZE))), certify_parseval(Lossy((SIZE, SIZE)))
residual = certify_residual(ray, image, data, 0.06), certify_residual(ray, dented, data, 0.06)
too_low = replace(norm, bound=0.98 * norm.bound, value=0.9 * norm.bound)

# Figure.
drawn = figure(11.5, 3.1)
panels = drawn.subplots(1, 4)


def attacked(axes: Axes, pair: tuple[Certificate, Certificate], title: str) -> None:
    """Draw what the attack finds for a few seeds, and the bound."""
    for certificate, colour in zip(pair, (MEASURED, UNDETERMINED), strict=True):
        found = [max(certificate.falsify(seed), 1e-17) for seed in SEEDS]
        axes.semilogy(list(SEEDS), found, "o", ms=5, color=colour, mec="white", mew=0.5)
    axes.axhline(pair[0].bound, color=INK, lw=1.4)
    axes.set(title=title, xlabel="seed of the attack", ylabel="found by the attack", ylim=(1e-18, 1), xticks=[0, 5, 10])


attacked(panels[0], adjoint, "adjoint gap")
legend(panels[0], {"sound": MEASURED, "damaged": UNDETERMINED, "claimed bound": INK}, loc=(0.3, 0.28))
attacked(panels[2], parseval, "Parseval gap")
counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
panels[1].semilogx(counts, [norm_estimate(ray, n, seed=1) for n in counts], "o-", ms=4, color=MEASURED)
panels[1].axhline(norm.bound, color=INK, lw=1.4)
panels[1].axhline(too_low.bound, color=UNDETERMINED, lw=1.4, ls="--")
panels[1].set(
    title="norm of the projector", xlabel="power iterations", xticks=[1, 4, 16, 48], xticklabels=[1, 4, 16, 48]
)
panels[1].minorticks_off()
panels[1].set_ylim(0.9 * norm.bound, 1.02 * norm.bound)
panels[1].text(1, 1.005 * norm.bound, "proved bound", fontsize=8, color=INK)
panels[1].text(5.5, 0.988 * too_low.bound, "2 % too low: refuted", fontsize=8, color=UNDETERMINED)
for place, (certificate, colour) in enumerate(zip(residual, (MEASURED, UNDETERMINED), strict=True)):
    panels[3].bar(place - 0.2, certificate.value, 0.36, color=colour)
    panels[3].bar(place + 0.2, certificate.falsify(), 0.36, color=colour, alpha=0.55)
panels[3].axhline(residual[0].bound, color=INK, lw=1.4)
panels[3].set(title="residual |R f − g| / |g|", xticks=[0, 1], xticklabels=["the image", "with a dent"], ylim=(0, 0.2))
panels[3].set_xlabel("own projector; pale: a second one", fontsize=9)
for axes in panels:
    axes.spines[["top", "right"]].set_visible(False)
print(save(drawn, "certificates"))

# The claim.
pairs = {"adjoint": adjoint, "norm": (norm, too_low), "parseval": parseval, "residual": residual}
for name, (sound, damaged) in pairs.items():
    worst = sound.falsify(seed=1), damaged.falsify(seed=1)
    print(f"{name:9} {sound.kind:9} bound {sound.bound:.3g}: sound {worst[0]:.3g}, damaged {worst[1]:.3g}")
    assert sound.holds
    assert worst[0] <= sound.bound
    assert worst[1] > damaged.bound
