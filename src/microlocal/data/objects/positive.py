"""A sum of shapes that stays positive: a shape that takes away takes at most what lies under it."""

import numpy as np

from microlocal.core.grid import Grid
from microlocal.data.objects.base import Object, Shape, scaled

NEGATIVE = -1e-9  # beyond rounding


class Canvas:
    """Shapes within a square of half-side ``radius``, on a coarse picture of their sum."""

    def __init__(self, radius: float) -> None:
        self.grid = Grid((96, 96), radius / 48)
        self.image = np.zeros(self.grid.shape)
        self.shapes: list[Shape] = []

    def add(self, shape: Shape) -> None:
        """Add the shape; if its density is below zero, -v takes away the share v of the least density under it."""
        part = Object((shape,)).image(self.grid, 1)
        if part.min() < NEGATIVE:
            under = self.image[part < NEGATIVE].min()
            shape = scaled(shape, under if under > 0.05 else -1.0)
            part = Object((shape,)).image(self.grid, 1)
            if part.min() < NEGATIVE and not under > 0.05:
                return  # a wavy shape on nothing: below zero whichever its sign
        self.image += part
        self.shapes.append(shape)

    def finished(self) -> list[Shape]:
        """Return the shapes scaled so that their sum is at most about 1, and not below 0 on 512 x 512 pixels."""
        self._drop_what_takes_too_much()
        return [scaled(shape, 1 / max(self.image.max(), 1e-9)) for shape in self.shapes]

    def _drop_what_takes_too_much(self) -> None:
        """Leave out shapes that take away more than there is at places between the points of the coarse picture."""
        fine = Grid((512, 512), self.grid.pixel * self.grid.shape[0] / 512)
        total = Object(tuple(self.shapes)).image(fine)
        while total.min() < NEGATIVE:
            lowest = np.unravel_index(total.argmin(), total.shape)
            for k in reversed(range(len(self.shapes))):
                part = Object((self.shapes[k],)).image(fine)
                if part[lowest] < 0:
                    total -= part
                    del self.shapes[k]
                    break
