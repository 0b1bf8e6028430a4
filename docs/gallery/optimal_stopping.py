"""A gradient flow that is left in time.

Problem. An energy is learned from pictures of leaves that hide each other, with noise; its gradient flow starts at the
noisy picture. Its minimiser is smoother than the truth, and at the start nothing is done yet: when to leave the flow?

    u' = -λ (u - f) - Kᵀ Φ(K u),      J(T) = |u(T) - g|²/2,      J'(T) = 0,  J''(T) >= 0

Filters, thresholds, λ and the time T are learned together, on pictures of seeds other than those shown.

Claim: on pictures that were not trained on, the learned time is within a fifth of the best one, and the error it leaves
within two per cent of the least. J' changes its sign there, and J'' is positive. No step lets two pictures get apart.
"""

import numpy as np
import torch
from drawing import ACCENT, INK, MEASURED, figure, save

from microlocal.networks import StoppedFlow
from microlocal.training.scenes import scene

SIDE, NOISE, STEPS, BATCH = 48, 0.15, 120, 4


def leaves(seeds: range, side: int = SIDE) -> torch.Tensor:
    """Return scenes of range one, (picture, 1, row, col)."""
    found = [torch.from_numpy(scene("leaves", np.random.default_rng(seed), side).image) for seed in seeds]
    return torch.stack([(x - x.min()) / (x.max() - x.min()) for x in found])[:, None].float()


# Setup and training.
torch.manual_seed(0)
network = StoppedFlow(filters=12, side=5, steps=8, usual=NOISE, noise=NOISE)
pool = leaves(range(1000, 1064))
others = [p for p in network.parameters() if p.requires_grad and p is not network.raw_time]
optimiser = torch.optim.Adam([{"params": others, "lr": 2e-2}, {"params": [network.raw_time], "lr": 0.1}])
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
for _ in range(STEPS):
    truth = pool[torch.randint(len(pool), (BATCH,))]
    loss = (network(truth + NOISE * torch.randn_like(truth)) - truth).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    decay.step()

# Pictures that were not trained on, and the error at other times.
network = network.double()
truth = leaves(range(8), 64).double()
noisy = truth + NOISE * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
learned = network.optimality(noisy, truth)
times = np.linspace(0.06, 0.98, 24) * network.longest()
curve = [network.optimality(noisy, truth, time=float(time)) for time in times]
errors = np.array([point.error for point in curve])
best = times[int(errors.argmin())]
with torch.no_grad():
    late = network.flow(noisy, float(times[-1]))
    stopped = network(noisy)

# Figure.
drawn = figure(10.0, 5.6)
panels = drawn.subplot_mosaic([["noisy", "stopped", "late"], ["error", "slope", "curvature"]])
for name, picture, title in (
    ("noisy", noisy, f"with noise of {NOISE:g}"),
    ("stopped", stopped, f"left at T = {learned.time:.2f}"),
    ("late", late, f"left later, at T = {times[-1]:.2f}"),
):
    panels[name].imshow(picture[3, 0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panels[name].set(title=title, xticks=[], yticks=[])
for name, values, title in (
    ("error", errors, "error J(T)"),
    ("slope", np.array([point.slope for point in curve]), "first condition J'(T) = 0"),
    ("curvature", np.array([point.curvature for point in curve]), "second condition J''(T) ≥ 0"),
):
    panels[name].plot(times, values, color=MEASURED)
    panels[name].axvline(learned.time, color=ACCENT, lw=1.2, label="learned T")
    panels[name].axhline(0.0, color=INK, lw=0.6)
    panels[name].set(title=title, xlabel="time T")
panels["error"].legend(frameon=False)
panels["error"].set_ylim(0.95 * errors.min(), 1.5 * errors.min())
panels["slope"].set_ylim(-3 * abs(curve[-1].slope), 3 * abs(curve[-1].slope))
panels["curvature"].set_ylim(-0.05 * curve[8].curvature, curve[8].curvature)
print(save(drawn, "optimal_stopping", dpi=80, few=True))

# The claim.
share = learned.error / errors.min()
print(f"learned T = {learned.time:.2f}, best of all times {best:.2f}; error {share:.4f} of the least")
print(f"T J'/J = {learned.time * learned.slope / learned.error:.3f}, J'' = {learned.curvature:.3g}")
assert share <= 1.02
assert abs(learned.time - best) <= 0.2 * best
assert learned.curvature > 0
assert curve[0].slope < 0 < curve[-1].slope
assert network.guarantee().nonexpansive
