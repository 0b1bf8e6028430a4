"""A frame of images: filters as data, one record a filter, and the transform they define.

analysis:   (*batch, row, col) -> (*batch, filter, row, col),     A |x|² <= |W x|² <= B |x|²
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

from microlocal.operators.base import LinearOperator


@dataclass(frozen=True)
class FilterIndex:
    """What one filter looks at.

    ``scale`` counts from coarse (0) to fine, -1 is the low-pass; ``cone`` is "horizontal", "vertical" (the cone of
    frequencies it lives in), "seam" between the two, or "low"; ``shear`` is k of the shearing matrix;
    ``direction_rad`` is the normal direction of the edges it answers to, in [0, π) with x right and y up;
    ``half_width_rad`` is half the range of directions it covers; ``band`` the lowest and highest frequency
    max(|ξ1|, |ξ2|) of its support, in cycles per pixel.
    """

    scale: int
    cone: str
    shear: int
    direction_rad: float
    half_width_rad: float
    band: tuple[float, float]


class Frame(LinearOperator):
    """Base of the frames; ``forward`` is the analysis, ``adjoint`` the synthesis."""

    codomain_axes = "filter, row, col"

    def __init__(self, shape: tuple[int, int], filters: tuple[FilterIndex, ...]) -> None:
        super().__init__(shape, (len(filters), *shape))
        self.filters = filters

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Return the frame bounds (A, B), computed from the filters."""

    def norm_bound(self) -> float:
        return math.sqrt(self.bounds()[1])
