"""A frame of images: filters as data, one record a filter, and the transform they define.

analysis:   (*batch, row, col) -> (*batch, filter, row, col),     A |x|² <= |W x|² <= B |x|²

Frames that store their filters at different sampling rates have one flat axis of coefficients instead; ``bands`` gives
the coefficients of every filter in either case, ``spread`` the weights that fit them.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import floating, real, trailing_shape
from microlocal.core.errors import ShapeError
from microlocal.operators.base import LinearOperator


class Record(Protocol):
    """What the record of a filter says in every dimension: its scale, its band, its direction and its name."""

    @property
    def scale(self) -> int: ...

    @property
    def band(self) -> tuple[float, float]: ...

    @property
    def normal(self) -> tuple[float, ...]:
        """Unit normal of the edges the filter answers to, (x right, y up) or (x, y, z along the slices)."""
        ...

    @property
    def key(self) -> tuple[object, ...]:
        """What no two filters of a frame share."""
        ...


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

    @property
    def normal(self) -> tuple[float, ...]:
        """Return (cos, sin) of the direction."""
        return math.cos(self.direction_rad), math.sin(self.direction_rad)

    @property
    def key(self) -> tuple[object, ...]:
        return self.scale, self.cone, self.shear


class Frame(LinearOperator):
    """Base of the frames; ``forward`` is the analysis, ``adjoint`` the synthesis.

    A final class writes ``bounds`` and ``filter_norms`` beside the hooks of an operator. ``directional`` says whether
    every filter above the low-pass answers to one direction; the laws on directions hold for those frames only.
    """

    codomain_axes = "filter, row, col"
    directional = True

    def __init__(
        self, shape: tuple[int, ...], filters: Sequence[Record], codomain_shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(shape, (len(filters), *shape) if codomain_shape is None else codomain_shape)
        self.filters = tuple(filters)

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Return the frame bounds (A, B), computed from the filters."""

    @abstractmethod
    def filter_norms(self) -> Float[Tensor, " filter"]:
        """Return the l2 norm of every filter, (filter,): the factor by which it passes white noise."""

    def bands(self, coefficients: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], ...]:
        """Return views of the coefficients of every filter, each (*batch, *its shape). Raises ShapeError."""
        self._check_coefficients(coefficients, "bands")
        return coefficients.unbind(-1 - len(self.domain_shape))

    def spread(self, values: Float[Tensor, " filter"]) -> Float[Tensor, "..."]:
        """Return one value a filter in a shape that broadcasts to the coefficients: weights for a functional.

        Raises ShapeError unless there is one for every filter.
        """
        self._check_values(values)
        return values.reshape(-1, *(1 for _ in self.domain_shape))

    def inverse(self, coefficients: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Undo the analysis by the synthesis of a dual frame: (*batch, *codomain) -> (*batch, *domain).

        For tight frames this is the adjoint divided by A. Raises ShapeError for other shapes.
        """
        self._check_coefficients(coefficients, "inverse")
        floating(coefficients, f"{type(self).__name__}.inverse")
        return self._inverse(coefficients) if coefficients.numel() else self._nothing(coefficients, forward=False)

    def _inverse(self, y: Tensor) -> Tensor:
        """(*batch, *codomain) -> (*batch, *domain); frames that are not tight write their own."""
        return self._adjoint(y) / self.bounds()[0]

    def _check_coefficients(self, coefficients: Tensor, name: str) -> None:
        who = f"{type(self).__name__}.{name}"
        trailing_shape(coefficients, self.codomain_shape, self.codomain_axes, who, self.advice)

    def _check_values(self, values: Tensor) -> None:
        who = f"{type(self).__name__}.spread"
        if tuple(real(values, who).shape) != (len(self.filters),):
            got, do = str(tuple(values.shape)), "Give one number for every filter, in the order of frame.filters."
            raise ShapeError(who, expected=f"({len(self.filters)},) [filter]", got=got, do=do)

    def norm_bound(self) -> float:
        return math.sqrt(self.bounds()[1])
