"""Draw docs/images/objects.png: five members of each family of random objects.

python -m benchmarks.objects_picture
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from microlocal.core.grid import Grid
from microlocal.core.registry import registered
from microlocal.data.objects import random_object

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "objects.png"
MEMBERS, GRID = 5, Grid((256, 256), 1.0)


def drawn() -> Figure:
    """Return the figure, a row a family."""
    families = tuple(registered("objects"))
    figure = Figure(figsize=(1.6 * MEMBERS, 1.75 * len(families)), layout="constrained", facecolor="white")
    for row, name in zip(figure.subplots(len(families), MEMBERS), families, strict=True):
        for seed, axes in enumerate(row):
            image = random_object(name, np.random.default_rng(seed), GRID).image(GRID)
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        row[0].set_title(name, loc="left", fontsize=10)
    return figure


def main() -> None:
    """Write the picture in grey, compressed."""
    buffer = io.BytesIO()
    drawn().savefig(buffer, format="png", dpi=90)
    Image.open(buffer).convert("L").save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
