"""The image grid: square pixels, any rectangular shape, placed anywhere.

Row ``r`` runs down and column ``c`` runs right; x points right and y points up, so that the centre of pixel (r, c) is

    x = x0 + (c - (cols - 1)/2) p,    y = y0 - (r - (rows - 1)/2) p.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microlocal.core.checks import point, positive, shape_of

UNTOLD = "mm"  # the unit of a grid that is not told one: with a geometry in another it is taken to be in that


@dataclass(frozen=True)
class Grid:
    """A rectangular grid of square pixels.

    Parameters: ``shape`` (rows, columns); ``pixel``, the side of a pixel in ``unit``; ``center``, the point (x, y) of
    the middle of the image relative to the axis of rotation, in ``unit``. Raises InputError for anything else.

    >>> Grid(shape=(2, 3), pixel=0.5).extent
    (-0.75, 0.75, -0.5, 0.5)
    """

    shape: tuple[int, int]
    pixel: float
    center: tuple[float, float] = (0.0, 0.0)
    unit: str = UNTOLD

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", shape_of(self.shape, ["row, col"], "Grid"))
        object.__setattr__(self, "center", point(self.center, "x, y", "center", "Grid"))
        positive(self.pixel, "pixel", "Grid")

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The outer edges (left, right, bottom, top) in ``unit``, as matplotlib's ``imshow`` takes them."""
        rows, cols = self.shape
        (x0, y0), p = self.center, self.pixel
        return (x0 - cols * p / 2, x0 + cols * p / 2, y0 - rows * p / 2, y0 + rows * p / 2)

    def coordinates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x of every column (cols,) and y of every row (rows,), in ``unit``."""
        rows, cols = self.shape
        x = self.center[0] + (np.arange(cols, dtype=np.float64) - (cols - 1) / 2) * self.pixel
        y = self.center[1] - (np.arange(rows, dtype=np.float64) - (rows - 1) / 2) * self.pixel
        return x, y

    def extended(self, shape: tuple[int, int]) -> "Grid":
        """Return the grid with more rows below and more columns to the right, to ``shape``; the pixels stay in place.

        >>> Grid((2, 2), 1.0).extended((2, 4)).extent
        (-1.0, 3.0, -1.0, 1.0)
        """
        (rows, cols), (more_rows, more_cols) = self.shape, shape
        x, y = self.center
        center = (x + (more_cols - cols) / 2 * self.pixel, y - (more_rows - rows) / 2 * self.pixel)
        return replace(self, shape=shape, center=center)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self) | {"shape": list(self.shape), "center": list(self.center)}

    def in_unit(self, unit: str) -> "Grid":
        """Return the grid in ``unit``, if it was not told another."""
        return replace(self, unit=unit) if self.unit == UNTOLD else self

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Grid":
        """Rebuild a grid from :meth:`to_dict`."""
        shape, center = fields["shape"], fields.get("center", (0.0, 0.0))
        return cls(
            shape=(int(shape[0]), int(shape[1])),
            pixel=float(fields["pixel"]),
            center=(float(center[0]), float(center[1])),
            unit=str(fields.get("unit", UNTOLD)),
        )
