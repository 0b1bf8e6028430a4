"""Ordered subsets: an operator whose data are views, cut into operators of every ``count``-th view.

    A = (A_1, ..., A_count),   A* A = Σ_i A_i* A_i

Incremental methods (OSEM, SART, stochastic gradients) use one A_i a step. Interleaved views make the subsets see
nearly the same singularities, so that ‖A_i‖² ≈ ‖A‖²/count.

Reference: H. M. Hudson and R. S. Larkin, IEEE Trans. Med. Imaging 13(4), 1994.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform


def _samples() -> list["ViewSubset"]:
    beam = ParallelBeam((0.0, 0.7, 1.4, 2.0), Detector(7, 1.0))
    ray = RayTransform(beam, Grid((5, 6), 1.0))
    return [ViewSubset(ray, [0, 2]), ViewSubset(ray, [3])]


@register("operator", "view-subset", samples=_samples, reference="hudson1994")
class ViewSubset(LinearOperator):
    """The chosen views of an operator: (*batch, *domain) -> (*batch, view, ...), rows of A and nothing else.

    It applies the whole operator and drops what is not asked for; ``norm_bound`` is that of the whole, which bounds
    every part. ``OrderedSubsets`` takes an operator of its own for each subset where the geometry can be cut.
    """

    def __init__(self, operator: LinearOperator, views: list[int]) -> None:
        super().__init__(operator.domain_shape, (len(views), *operator.codomain_shape[1:]))
        self.operator, self.views = operator, views

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._forward(x).index_select(-len(self.codomain_shape), self._index(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        axis = -len(self.codomain_shape)
        whole = y.new_zeros(*y.shape[:axis], *self.operator.codomain_shape)
        return self.operator._adjoint(whole.index_copy(axis, self._index(y), y))

    def _index(self, x: Tensor) -> Tensor:
        return torch.tensor(self.views, device=x.device)

    def norm_bound(self) -> float:
        return self.operator.norm_bound()


class OrderedSubsets:
    """An operator A, whose data's first axis is the view, as ``count`` operators of interleaved views.

    ``subsets[i]`` holds the views i, i + count, ...; iterating goes through them in bit-reversed order, so that
    consecutive subsets differ most. ``split`` and ``join`` cut and rebuild data. Guarantee: Σ A_i* A_i = A* A.
    Raises InputError unless 1 <= count <= views.

    >>> from microlocal.core import Detector, Grid, ParallelBeam
    >>> ray = RayTransform(ParallelBeam((0.0, 0.5, 1.0), Detector(3, 1.0)), Grid((2, 3), 1.0))
    >>> [subset.codomain_shape for subset in OrderedSubsets(ray, 2).subsets]
    [(2, 3), (1, 3)]
    """

    def __init__(self, operator: LinearOperator, count: int) -> None:
        views = operator.codomain_shape[0]
        if not 1 <= count <= views:
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

    def split(self, y: Float[Tensor, "*batch view detector"]) -> list[Float[Tensor, "*batch part detector"]]:
        """Return the data of each subset."""
        axis = y.ndim - len(self.operator.codomain_shape)
        every = [torch.arange(i, y.shape[axis], self.count, device=y.device) for i in range(self.count)]
        return [y.index_select(axis, views) for views in every]

    def join(self, parts: list[Float[Tensor, "*batch part detector"]]) -> Float[Tensor, "*batch view detector"]:
        """Return the data whose subsets are ``parts``: the inverse of ``split``."""
        axis = parts[0].ndim - len(self.operator.codomain_shape)
        together = torch.cat(parts, dim=axis)
        views = self.operator.codomain_shape[0]
        order = torch.cat([torch.arange(i, views, self.count) for i in range(self.count)])
        return together.index_select(axis, torch.argsort(order).to(together.device))


def _chosen(operator: LinearOperator, views: list[int]) -> LinearOperator:
    if isinstance(operator, RayTransform):
        return RayTransform(
            operator.geometry.select(views), operator.grid, operator.method, tolerance=operator.tolerance
        )
    return ViewSubset(operator, views)
