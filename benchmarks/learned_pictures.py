"""The pictures of the comparison of learned methods: quality against the missing wedge, and one case as images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot
from torch import Tensor

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WHITE = 0.99  # quantile of the truth that is drawn white
STYLES = {
    "fbp": ("#999999", ":"), "tv": ("#666666", "--"), "shearlet": ("#222222", "--"),
    "learn-the-invisible": ("#d55e00", "-"), "postprocessing": ("#0072b2", "-"), "wavelet-residual": ("#56b4e9", "-"),
    "learned-primal-dual": ("#009e73", "-"), "null-space-network": ("#cc79a7", "-"),
}  # fmt: skip


def curves(scores: Sequence[Any], noise: float) -> None:
    """Draw PSNR against the missing degrees at one noise level, a panel a family of objects."""
    families = list(dict.fromkeys(s.family for s in scores))
    figure, axes = pyplot.subplots(1, len(families), figsize=(3.4 * len(families), 3.9), layout="constrained")
    for axis, family in zip(axes, families, strict=True):
        for name, (color, line) in STYLES.items():
            here = [s for s in scores if (s.family, s.method, s.noise) == (family, name, noise)]
            if here:
                wedges, values = [s.wedge for s in here], [s.psnr for s in here]
                axis.plot(wedges, values, line, marker="o", ms=4, color=color, label=name)
        axis.set(title=family, xlabel="missing degrees", xticks=sorted({s.wedge for s in scores}))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"PSNR, dB, at {100 * noise:g} % noise")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(IMAGES / "limited-angle-table.png", dpi=100)
    pyplot.close(figure)


def strip(truth: Tensor, images: Mapping[str, tuple[Tensor, float]]) -> None:
    """Draw the truth and the image of every method with its PSNR, all in the same grey."""
    shown = {"truth": (truth, None), **images}
    columns = -(-len(shown) // 2)
    figure, axes = pyplot.subplots(2, columns, figsize=(2.3 * columns, 5.0), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, (image, quality)) in zip(axes.flat, shown.items(), strict=False):
        axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=float(truth.quantile(WHITE)))
        axis.set_title(name if quality is None else f"{name}\n{quality:.1f} dB", fontsize=9)
    figure.savefig(IMAGES / "limited-angle-strip.png", dpi=100)
    pyplot.close(figure)
