"""A blur undone by a flow that is left in time, beside iterations that are run until they end.

Problem. f = k * u + n with a Gaussian k and much noise. A flow falls along the energy of the data and of learned
filters, on a picture wider than f by the kernel, from the mirror image of f. When is it to be left?

    u' = -λ A*(A u - f) - Kᵀ Φ(K u),      J(T) = |u(T) - g|²/2,      J'(T) = 0,  J''(T) >= 0

Filters, thresholds, λ and T are learned on pictures of other seeds. Compared with total variation, whose weight follows
from the noise, and with certified plug-and-play, which knows photographs.

Claim: on pictures that were not trained on the learned time leaves an error within one per cent of the least. J'
changes its sign, and J'' is positive there. Two pictures get no further apart than the guarantee says.
"""

import numpy as np
import torch
from drawing import ACCENT, INK, MEASURED, figure, save

from microlocal.core.progress import SILENT
from microlocal.networks import DeblurringFlow
from microlocal.operators import Convolution, gaussian_kernel
from microlocal.reconstruction.images.blur import blur_of
from microlocal.reconstruction.images.restorers import choice_of, deblurrer
from microlocal.training.scenes import scene

BLUR, NOISE, STEPS, BATCH = "gaussian:1", 0.1, 90, 4
KERNEL = gaussian_kernel(1.0).float()
MARGIN = len(KERNEL) // 2


def leaves(seeds: range, side: int) -> torch.Tensor:
    """Return scenes of range one, (picture, 1, row, col), wider by the kernel than what is seen of them."""
    found = [torch.from_numpy(scene("leaves", np.random.default_rng(seed), side + 2 * MARGIN).image) for seed in seeds]
    return torch.stack([(x - x.min()) / (x.max() - x.min()) for x in found])[:, None].float()


def blurred(wide: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is seen, and the truth there."""
    seen = Convolution(KERNEL, (wide.shape[-2], wide.shape[-1]), "valid")(wide)
    return seen + NOISE * torch.randn(seen.shape, generator=draw), wide[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def psnr(images: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the mean peak signal to noise ratio in dB for a peak of one."""
    return float((-10 * torch.log10((images - truth).square().mean(dim=(-2, -1)))).mean())


# Setup and training.
torch.manual_seed(0)
network = DeblurringFlow([1, 1], filters=12, side=5, steps=16, usual=NOISE).undoing(KERNEL)
pool, draw = leaves(range(1000, 1064), 40), torch.Generator().manual_seed(5)
others = [p for p in network.parameters() if p.requires_grad and p is not network.flow.raw_time]
optimiser = torch.optim.Adam([{"params": others, "lr": 3e-2}, {"params": [network.flow.raw_time], "lr": 0.1}])
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
for _ in range(STEPS):
    seen, wanted = blurred(pool[torch.randint(len(pool), (BATCH,), generator=draw)], draw)
    optimiser.zero_grad()
    (network(seen) - wanted).square().mean().backward()
    optimiser.step()
    decay.step()

# Pictures that were not trained on: the error at other times, and other methods.
data, truth = blurred(leaves(range(8), 64), torch.Generator().manual_seed(1))
network, exact, target = network.double(), data.double(), truth.double()
learned = network.optimality(exact, target)
times = np.linspace(0.1, 0.99, 18) * network.behind(data.shape).longest()
curve = [network.optimality(exact, target, time=float(time)) for time in times]
errors = np.array([point.error for point in curve])
with torch.no_grad():
    pictures = {"stopped flow": network(exact).float()}
for model in ("tv", "plug-and-play"):
    run = deblurrer(choice_of(model, None), blur_of(BLUR)).run
    pictures[model] = torch.stack([run(image[0], NOISE, SILENT).image[None] for image in data])

# Figure.
drawn = figure(10.0, 5.4)
panels = drawn.subplot_mosaic([["a", "b", "c", "d"], ["error", "error", "slope", "slope"]])
for name, (title, images) in zip("abcd", ({"data": data} | pictures).items(), strict=True):
    panels[name].imshow(images[3, 0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panels[name].set(title=f"{title}: {psnr(images, truth):.2f} dB", xticks=[], yticks=[])
for name, values, title in (
    ("error", errors, "error J(T)"),
    ("slope", np.array([point.slope for point in curve]), "J'(T), zero where T is optimal; its slope is J''(T)"),
):
    panels[name].plot(times, values, color=MEASURED)
    panels[name].axvline(learned.time, color=ACCENT, lw=1.2, label="learned T")
    panels[name].axhline(0.0, color=INK, lw=0.6)
    panels[name].set(title=title, xlabel="time T")
tangent = learned.slope + learned.curvature * (times - learned.time)
panels["slope"].plot(times, tangent, color=INK, lw=0.9, ls="--", label="tangent of slope J''")
panels["slope"].set_ylim(-8 * curve[-1].slope, 3 * curve[-1].slope)
panels["error"].set_ylim(0.95 * errors.min(), 1.6 * errors.min())
for name in ("error", "slope"):
    panels[name].legend(frameon=False)
print(save(drawn, "stopped_deblurring", dpi=80, few=True))

# The claim.
told = ", ".join(f"{name} {psnr(images, truth):.2f} dB" for name, images in ({"data": data} | pictures).items())
print(f"{told}; 8 pictures of 64 x 64, noise {NOISE:g}")
print(f"learned T = {learned.time:.2f}, the longest that is stable {network.behind(data.shape).longest():.2f}; "
      f"error {learned.error / errors.min():.4f} of the least")  # fmt: skip
print(f"T J'/J = {learned.time * learned.slope / learned.error:.4f}, J'' = {learned.curvature:.3g}; "
      f"Lipschitz constant <= {network.guarantee().lipschitz:.3g}")  # fmt: skip
assert learned.error <= 1.01 * errors.min()
assert learned.curvature > 0
assert curve[0].slope < 0 < curve[-1].slope
assert psnr(pictures["stopped flow"], truth) > psnr(data, truth) + 4
with torch.no_grad():
    apart = float((network(exact[1:]) - network(exact[:-1])).norm() / (exact[1:] - exact[:-1]).norm())
assert apart <= network.guarantee().lipschitz
