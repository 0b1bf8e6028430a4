"""Operators broken in one way each."""

from dataclasses import replace

import torch

from microlocal.frames.base import Frame
from microlocal.frames.compact_shearlet import CompactShearletFrame
from microlocal.frames.shearlet import ShearletFrame
from microlocal.operators.base import LinearOperator, linear_pair
from microlocal.operators.gradient import Gradient


class Affine(Gradient):
    """Adds a constant."""

    def _forward(self, x):
        return super()._forward(x) + 1


class ScaledAdjoint(Gradient):
    """The adjoint is twice the true one, as where a pixel area is forgotten."""

    def _adjoint(self, y):
        return 2 * super()._adjoint(y)


class DetachedGradient(Gradient):
    """The right values, but autograd sees the identity times two."""

    def _forward(self, x):
        return linear_pair(x, super()._forward, lambda y: 2 * Gradient._adjoint(self, y))


class ForwardModeHalves(Gradient):
    """The right values and gradients, but the derivative in forward mode is half of what it should be."""

    class _Map(torch.autograd.Function):
        @staticmethod
        def forward(x, operator):
            return Gradient._forward(operator, x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.operator = inputs[1]

        @staticmethod
        def backward(ctx, grad):
            return Gradient._adjoint(ctx.operator, grad), None

        @staticmethod
        def jvp(ctx, x, _):
            return 0.5 * Gradient._forward(ctx.operator, x)

        @staticmethod
        def vmap(info, in_dims, x, operator):
            return Gradient._forward(operator, x.movedim(in_dims[0], 0)), 0

    def _forward(self, x):
        return self._Map.apply(x, self)


class MixedBatch(Gradient):
    """Adds the mean of the batch to every image."""

    def _forward(self, x):
        mean = x.reshape(-1, *self.domain_shape).mean(dim=0) if x.ndim > 2 else 0
        return super()._forward(x + mean)


class LosesEmptyBatch(Gradient):
    """Returns one image of zeros for no image."""

    def _nothing(self, x, *, forward):
        return x.new_zeros(self.codomain_shape if forward else self.domain_shape)


class DoublePrecisionOnly(Gradient):
    """Returns float64 whatever came."""

    def _forward(self, x):
        return super()._forward(x).double()


class ReadsMemory(Gradient):
    """Takes the memory of its input for its values, also where torch has yet to negate them."""

    def _forward(self, x):
        return super()._forward(-x if x.is_neg() else x)


class WritesInput(Gradient):
    """Works in place."""

    def _forward(self, x):
        result = super()._forward(x)
        x.detach().mul_(0.5)
        return result


class SmallNorm(Gradient):
    """Declares the norm of power iteration from below."""

    def norm_bound(self):
        return 0.9


class LongSteps(Gradient):
    """Steps twice as long as proved."""

    def step_sizes(self):
        sigma, tau = super().step_sizes()
        return 2 * sigma, 2 * tau


class AnyShape(LinearOperator):
    """Checks nothing."""

    def __init__(self):
        super().__init__((3, 3), (3, 3))

    def forward(self, x):
        return x.clone()

    def adjoint(self, y):
        return y.clone()

    _forward, _adjoint = forward, adjoint


class AnyNumbers(Gradient):
    """Takes integers and complex numbers as they come."""

    def forward(self, x):
        return super()._forward(x)


class Turn(LinearOperator):
    """Multiplies by i: the honest complex operator that the mutants below break."""

    domain_complex = codomain_complex = True

    def __init__(self, shape=(3, 4)):
        super().__init__(shape, shape)

    def _forward(self, x):
        return 1j * x

    def _adjoint(self, y):
        return -1j * y

    def norm_bound(self):
        return 1.0


class Antilinear(Turn):
    """Conjugates: linear over the reals, with a true adjoint there, but not complex-linear."""

    def _forward(self, x):
        return x.conj().resolve_conj()

    _adjoint = _forward


class ForgottenConjugate(Turn):
    """The adjoint is the transpose without the conjugate."""

    def _adjoint(self, y):
        return 1j * y


class TransposedBackward(Turn):
    """The right values, but the gradient of torch misses the conjugate."""

    def _forward(self, x):
        return linear_pair(x, super()._forward, lambda y: 1j * y)


class RealPart(Turn):
    """Declares complex images and returns real ones."""

    def _forward(self, x):
        return super()._forward(x).real


class TakesReal(Turn):
    """Promotes real images in silence."""

    def forward(self, x):
        return super()._forward(x)


class UnbalancedFrame(ShearletFrame):
    """One filter is 1 % too strong, and the declared bounds hide it."""

    def _filters(self, like):
        first, second, *others = super()._filters(like)
        blocks = tuple((place, 1.01 * values) for place, values in second.blocks)
        return (first, replace(second, blocks=blocks), *others)

    def bounds(self):
        return 1.0, 1.0


class ForgetfulFrame(ShearletFrame):
    """Synthesis forgets the last filter."""

    def _synthesis(self, y):
        kept = y.clone()
        kept[..., -1, :, :] = 0
        return super()._synthesis(kept)


class UndividedInverse(CompactShearletFrame):
    """Takes the adjoint of a frame that is not tight for its inverse."""

    def _inverse(self, y):
        return self._adjoint(y)


class SquaredNorms(ShearletFrame):
    """Declares the energies of the filters for their norms."""

    def filter_norms(self):
        return super().filter_norms().square()


class ShiftedWeights(ShearletFrame):
    """Every filter gets its neighbour's weight."""

    def spread(self, values):
        return super().spread(values.roll(1))


class _Relabelled(ShearletFrame):
    def __init__(self, shape):
        super().__init__(shape, scales=1, shears=(2,))
        self.filters = self.relabel(self.filters)


class RepeatedRecord(_Relabelled):
    """Two filters carry the same record."""

    @staticmethod
    def relabel(filters):
        return (*filters[:-1], filters[-2])


class NarrowRanges(_Relabelled):
    """Ranges of directions in degrees, read as radians elsewhere."""

    @staticmethod
    def relabel(filters):
        return tuple(replace(f, half_width_rad=f.half_width_rad / 2) for f in filters)


class FlippedDirections(_Relabelled):
    """y points down: every direction is mirrored."""

    @staticmethod
    def relabel(filters):
        return tuple(replace(f, direction_rad=(-f.direction_rad) % torch.pi) for f in filters)


def operators() -> dict[str, LinearOperator]:
    """Return the mutant of every operator law, by the law's name."""
    shape = (4, 5)
    return {
        "forward_is_linear": Affine(shape),
        "adjoint_matches_inner_product": ScaledAdjoint(shape),
        "backward_is_the_adjoint": DetachedGradient(shape),
        "function_transforms_agree": ForwardModeHalves(shape),
        "batches_are_independent": MixedBatch(shape),
        "an_empty_batch_stays_empty": LosesEmptyBatch(shape),
        "precision_is_kept": DoublePrecisionOnly(shape),
        "lazy_views_are_taken": ReadsMemory(shape),
        "nothing_is_modified": WritesInput(shape),
        "norm_bound_is_a_bound": SmallNorm(shape),
        "steps_are_valid": LongSteps(shape),
        "wrong_shape_is_refused": AnyShape(),
        "wrong_numbers_are_refused": AnyNumbers(shape),
    }


def complex_operators() -> dict[str, LinearOperator]:
    """Return mutants with complex images, by the law that has to catch them."""
    return {
        "forward_is_linear": Antilinear(),
        "adjoint_matches_inner_product": ForgottenConjugate(),
        "backward_is_the_adjoint": TransposedBackward(),
        "precision_is_kept": RealPart(),
        "wrong_numbers_are_refused": TakesReal(),
    }


def frames() -> dict[str, Frame]:
    """Return the mutant of every law of frames."""
    return {
        "frame_bounds_hold": UnbalancedFrame((16, 16)),
        "parseval_frames_reconstruct": ForgetfulFrame((16, 16)),
        "inverse_undoes_analysis": UndividedInverse((16, 16), scales=1),
        "index_has_one_record_a_filter": RepeatedRecord((16, 16)),
        "directions_of_a_scale_tile_the_half_circle": NarrowRanges((16, 16)),
        "filters_answer_to_their_direction": FlippedDirections((32, 32)),
        "norms_are_those_of_the_atoms": SquaredNorms((16, 16)),
        "weights_reach_their_filters": ShiftedWeights((16, 16)),
    }
