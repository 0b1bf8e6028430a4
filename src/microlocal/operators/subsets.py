"""Ordered subsets: an operator whose data are views, cut into operators of every ``count``-th view.

    A = (A_1, ..., A_count),   A* A = Σ_i A_i* A_i

Incremental methods (OSEM, SART, stochastic gradients) use one A_i a step. Interleaved views make the subsets see
nearly the same singularities, so that ‖A_i‖² ≈ ‖A‖²/count.

Reference: H. M. Hudson and R. S. Larkin, IEEE Trans. Med. Imaging 13(4), 1994.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.core.checks import numbers_of, trailing_shape, whole
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.volume import VolumeGrid
from microlocal.operators.base import LinearOperator, only_operators
from microlocal.operators.fourier import FourierSampling
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.ray_transform3d import RayTransform3D
from microlocal.operators.spaces import device_of


def _samples() -> list["ViewSubset"]:
    angles = (0.0, 0.7, 1.4, 2.0)
    ray = RayTransform(ParallelBeam(angles, Detector(7, 1.0)), Grid((5, 6), 1.0))
    cone = ConeBeam(angles, FlatPanel(3, 4, (1.2, 1.1)), source_axis=12.0, source_detector=17.0)
    return [
        ViewSubset(ray, [0, 2]),
        ViewSubset(ray, [3]),
        ViewSubset(FourierSampling(torch.arange(20.0).reshape(4, 5) / 10 - 1), [3, 0]),
        ViewSubset(RayTransform3D(cone, VolumeGrid((2, 3, 4), 1.0)), [3, 1]),
    ]


@register("operator", "view-subset", samples=_samples, reference="hudson1994")
class ViewSubset(LinearOperator):
    """The chosen views of an operator: (*batch, *domain) -> (*batch, view, ...), rows of A and nothing else.

    Parameters: ``operator``, real or complex, whose data's first axis is the view; ``views``, their numbers from 0,
    each once, in any order. Raises InputError for other numbers, for a view that comes twice and for none.

    It applies the whole operator and drops what is not asked for; ``norm_bound`` is that of the whole, which bounds
    every part. ``OrderedSubsets`` takes an operator of its own for each subset where the geometry can be cut.
    """

    def __init__(self, operator: LinearOperator, views: Sequence[int]) -> None:
        only_operators((operator,), "ViewSubset")
        chosen = _distinct(views, operator.codomain_shape[0])
        super().__init__(operator.domain_shape, (len(chosen), *operator.codomain_shape[1:]))
        self.domain_axes, self.codomain_axes = operator.domain_axes, operator.codomain_axes
        self.domain_complex, self.codomain_complex = operator.domain_complex, operator.codomain_complex
        self.operator, self.views = operator, chosen

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._forward(x).index_select(-len(self.codomain_shape), self._index(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        axis = -len(self.codomain_shape)
        every = y.new_zeros(*y.shape[:axis], *self.operator.codomain_shape)
        return self.operator._adjoint(every.index_copy(axis, self._index(y), y))

    def _index(self, x: Tensor) -> Tensor:
        return torch.tensor(self.views, device=x.device)

    def norm_bound(self) -> float:
        return self.operator.norm_bound()


def _distinct(views: Sequence[int], count: int) -> list[int]:
    chosen = numbers_of(views, count, "views", "ViewSubset").tolist()
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        expected = f"different views from 0 to {count - 1}, at least one"
        raise InputError("ViewSubset", expected=expected, got=str(chosen), do="Count views from 0, each once.")
    return chosen


class OrderedSubsets:
    """An operator A, whose data's first axis is the view, as ``count`` operators of interleaved views.

    ``subsets[i]`` holds the views i, i + count, ...; iterating goes through them in bit-reversed order, so that
    consecutive subsets differ most. ``split`` and ``join`` cut and rebuild data. Guarantee: Σ A_i* A_i = A* A.
    Subsets of ``RayTransform`` and ``RayTransform3D`` project their own views only, those of others are
    ``ViewSubset``. Raises InputError unless 1 <= count <= views.

    >>> from microlocal.core import Detector, Grid, ParallelBeam
    >>> ray = RayTransform(ParallelBeam((0.0, 0.5, 1.0), Detector(3, 1.0)), Grid((2, 3), 1.0))
    >>> [subset.codomain_shape for subset in OrderedSubsets(ray, 2).subsets]
    [(2, 3), (1, 3)]
    """

    def __init__(self, operator: LinearOperator, count: int) -> None:
        views = only_operators((operator,), "OrderedSubsets").codomain_shape[0]
        if not 1 <= whole(count, "count", "OrderedSubsets") <= views:
            raise InputError(
                "OrderedSubsets",
                expected=f"a count from 1 to the number of views, {views}",
                got=str(count),
                do="Ask for fewer subsets.",
            )
        self.operator, self.count = operator, count
        self.subsets = [_chosen(operator, list(range(i, views, count))) for i in range(count)]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, LinearOperator]]:
        """Yield (index, operator) in bit-reversed order."""
        bits = max(self.count - 1, 1).bit_length()
        for i in sorted(range(self.count), key=lambda k: int(f"{k:0{bits}b}"[::-1], 2)):
            yield i, self.subsets[i]

    def norm_bounds(self) -> list[float]:
        """Return a proved upper bound of the norm of every subset."""
        return [subset.norm_bound() for subset in self.subsets]

    def split(self, y: Inexact[Tensor, "*batch view detector"]) -> list[Inexact[Tensor, "*batch part detector"]]:
        """Return the data of each subset. Raises ShapeError for data of another operator."""
        whole_shape, axes = self.operator.codomain_shape, self.operator.codomain_axes
        trailing_shape(y, whole_shape, axes, "OrderedSubsets.split", "Give data of all views.")
        axis = y.ndim - len(whole_shape)
        every = [torch.arange(i, y.shape[axis], self.count, device=y.device) for i in range(self.count)]
        return [y.index_select(axis, views) for views in every]

    def join(self, parts: list[Inexact[Tensor, "*batch part detector"]]) -> Inexact[Tensor, "*batch view detector"]:
        """Return the data whose subsets are ``parts``: the inverse of ``split``. Raises ShapeError likewise."""
        who, do = "OrderedSubsets.join", "Give the data of every subset, in the order of split."
        if len(parts) != self.count:
            raise ShapeError(who, expected=f"{self.count} parts", got=str(len(parts)), do=do)
        for part, subset in zip(parts, self.subsets, strict=True):
            trailing_shape(part, subset.codomain_shape, subset.codomain_axes, who, do)
        axis = parts[0].ndim - len(self.operator.codomain_shape)
        together = torch.cat(parts, dim=axis)
        views = self.operator.codomain_shape[0]
        order = torch.cat([torch.arange(i, views, self.count) for i in range(self.count)])
        return together.index_select(axis, torch.argsort(order).to(together.device))


def _chosen(operator: LinearOperator, views: list[int]) -> LinearOperator:
    if isinstance(operator, RayTransform):
        cut = operator.geometry.select(views)
        ray = RayTransform(cut, operator.grid, operator.method, tolerance=operator.tolerance)
        return ray.to(device_of(operator))
    if isinstance(operator, RayTransform3D):
        return RayTransform3D(operator.geometry.select(views), operator.grid).to(device_of(operator))
    return ViewSubset(operator, views)
