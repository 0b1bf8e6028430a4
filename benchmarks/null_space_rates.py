"""The error of a null-space network falls with the noise as the theorem says: a small scan, every quantity in float64.

    f_δ = x_δ + P U(x_δ),    x_δ = (A*A + α)^-1 A* g_δ,    |g_δ - A f| <= δ,    α = δ / |w|   (chosen a priori)

Checked is the theorem on convergence rates of Schwab, Antholzer and Haltmeier (2019) for B_α = Tikhonov and a source
condition of order 1/2. Its hypotheses, all met here by construction:

 1. U is Lipschitz continuous: a U-Net of convolutions and SiLU, weights of seed 0 (it need not be trained);
 2. P is the orthogonal projection on the null space of A, by the singular values;
 3. f = x + P U(x) with x in the range of A⁺: the object is one that the network completes rightly;
 4. x = A* w: the source condition.

Then |x_δ - x| <= δ / (2 √α) + √α |w| / 2 = √(δ |w|), and |f_δ - f| <= (1 + L) √(δ |w|), L the Lipschitz constant of
P U (here its largest quotient over the images that occur): the rate δ^(1/2), for every noise of size δ. Tried are
random noise and the worst one, the singular direction with σ nearest √α.

With P_α = I - B_α A in place of P, which is what the network is trained with, the theorem of 2019 does not apply, and
the one of 2020 ("Big in Japan") asks for a rate of P_α U(x) → P U(x), which this U does not have; the curve is drawn to
be seen: it converges, more slowly.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from benchmarks.table import Row, at_least, at_most
from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.core.seeding import generator
from microlocal.networks.unet import PyramidUNet
from microlocal.operators import RayTransform

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "null-space-convergence.png"
SIDE, VIEWS, ARC = 32, 16, 100.0
LEVELS = np.logspace(-1, -6, 11)  # δ / |A f|
WHERE = f"{SIDE}², {VIEWS} views over {ARC:g} degrees, δ/|g| from 10⁻¹ to 10⁻⁶, α = δ/|w|"


@dataclass(frozen=True, eq=False)
class Problem:
    """A scan as a matrix of norm one by its singular values, a network, and an object that meets the hypotheses."""

    left: Tensor
    singular: Tensor
    right: Tensor
    network: PyramidUNet
    source: float
    seen: Tensor
    whole: Tensor

    @torch.no_grad()
    def added(self, x: Tensor) -> Tensor:
        """Return U(x)."""
        (found,) = self.network([x.reshape(1, 1, SIDE, SIDE)])
        return found.reshape(-1)

    def hidden(self, h: Tensor) -> Tensor:
        """Return the part of h in the null space."""
        return h - self.right.T @ (self.right @ h)

    def tikhonov(self, data: Tensor, alpha: float) -> Tensor:
        """Return (A*A + α)^-1 A* g."""
        return self.right.T @ (self.singular / (self.singular**2 + alpha) * (self.left.T @ data))

    def measured(self, x: Tensor) -> Tensor:
        """Return A x."""
        return self.left @ (self.singular * (self.right @ x))


def problem() -> Problem:
    """Return the scan of a limited arc, a Lipschitz network, and f = x + P U(x) with x = A* w."""
    angles = tuple(np.radians(np.linspace(0, ARC, VIEWS, endpoint=False)))
    ray = RayTransform(ParallelBeam(angles, Detector(45, 1.0)), Grid((SIDE, SIDE), 1.0), method="rays")
    matrix = ray(torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)).reshape(SIDE**2, -1).T
    left, singular, right = torch.linalg.svd(matrix / torch.linalg.matrix_norm(matrix, 2), full_matrices=False)
    kept = singular > 1e-9
    left, singular, right = left[:, kept], singular[kept], right[kept]
    torch.manual_seed(0)
    network = PyramidUNet((1,), (1,), (8, 16), normalised=False).double()
    with torch.no_grad():
        for parameter in network.parameters():
            if not bool(parameter.any()):
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator(1)))
    w = torch.randn(len(singular), generator=generator(2), dtype=torch.float64)
    w = left @ (w / w.norm())
    seen = right.T @ (singular * (left.T @ w))
    incomplete = Problem(left, singular, right, network, 1.0, seen, seen)
    return replace(incomplete, whole=seen + incomplete.hidden(incomplete.added(seen)))


def errors(case: Problem, level: float, noise: Tensor) -> dict[str, float]:
    """Return the errors at one noise level for one direction of the noise, and the Lipschitz quotient of P U."""
    data = case.measured(case.whole)
    delta = level * float(data.norm())
    alpha = delta / case.source
    begun = case.tikhonov(data + delta * noise / noise.norm(), alpha)
    added, ideal = case.added(begun), case.added(case.seen)
    exact = begun + case.hidden(added)
    blurred = begun + added - case.tikhonov(case.measured(added), alpha)
    quotient = float(case.hidden(added - ideal).norm() / (begun - case.seen).norm())
    size = float(case.whole.norm())
    found = {"tikhonov": begun, "null-space network": exact, "with P_α instead of P": blurred}
    return {name: float((image - case.whole).norm()) / size for name, image in found.items()} | {
        "Lipschitz quotient": quotient,
        "√(δ|w|)": float(np.sqrt(delta * case.source)) / size,
    }


def table(case: Problem) -> dict[str, np.ndarray]:
    """Return every curve over the noise levels: the largest error of five random directions and the worst one."""
    rows = []
    for level in LEVELS:
        delta = level * float(case.measured(case.whole).norm())
        worst = case.left[:, int((case.singular - (delta / case.source) ** 0.5).abs().argmin())]
        draws = [torch.randn(len(worst), generator=generator(k), dtype=torch.float64) for k in range(5)]
        sign = [worst, -worst]
        tried = [errors(case, level, noise) for noise in (*sign, *draws)]
        rows.append({name: max(one[name] for one in tried) for name in tried[0]})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def slope(values: np.ndarray) -> float:
    """Return the exponent of δ in a curve: least squares in logarithms."""
    return float(np.polyfit(np.log(LEVELS), np.log(values), 1)[0])


def draw(curves: dict[str, np.ndarray], lipschitz: float) -> None:
    """Write the figure."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    bound = (1 + lipschitz) * curves["√(δ|w|)"]
    axes.loglog(LEVELS, bound, "k--", label=f"theorem: (1 + {lipschitz:.1f}) √(δ|w|), slope 1/2")
    styles = {"null-space network": "C0o-", "with P_α instead of P": "C1s-", "tikhonov": "C7^-"}
    for name, style in styles.items():
        label = {"tikhonov": "Tikhonov alone"}.get(name, name)
        axes.loglog(LEVELS, curves[name], style, markersize=4, label=f"{label}, slope {slope(curves[name]):.2f}")
    axes.invert_xaxis()
    axes.set(xlabel="noise level δ / |g|", ylabel="|f_δ - f| / |f|", title="Worst of seven noises, α = δ/|w|")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def suite() -> list[Row]:
    """Measure the rate, compare with the bound, draw both."""
    case = problem()
    curves = table(case)
    lipschitz = float(curves["Lipschitz quotient"].max())
    ratio = curves["null-space network"] / ((1 + lipschitz) * curves["√(δ|w|)"])
    draw(curves, lipschitz)
    plain, other = slope(curves["tikhonov"]), slope(curves["with P_α instead of P"])
    return [
        at_least("null-space network: rate of the error, exponent of δ (theorem: at least 1/2)", WHERE,
                 slope(curves["null-space network"]), 0.49, "{:.2f}"),
        at_most("null-space network: error over the theorem's bound", WHERE, float(ratio.max()), 1.0, "{:.2f}"),
        Row("with P_α instead of P, and Tikhonov alone: exponents", WHERE, "", f"{other:.2f}, {plain:.2f}", None),
    ]  # fmt: skip
