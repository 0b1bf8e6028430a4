"""Residual networks that are bijections: every branch is a contraction.

    x_{k+1} = x_k + s g_k(x_k),      q_k = s Lip g_k < 1

Proved for any weights: each layer is a bijection, (1 - q) |x - y| <= |N(x) - N(y)| <= (1 + q) |x - y|, its Jacobian
I + s g' has eigenvalues and singular values within 1 - q ... 1 + q in size, and hence

    det > 0,      d Σ_k log(1 - q_k) <= log det <= d Σ_k log(1 + q_k)      in dimension d.

A chain of such layers adds up what the inverse of each misses: an error e in the output of a layer is at most e/(1 - q)
in its input.

With one branch for all layers and s = 1/n this is Euler's rule for the flow of the velocity v = s n g: as n grows, the
network tends to the diffeomorphism exp(v), its inverse to exp(-v), with an error O(1/n).

Reference: Behrmann et al. (2019); Rousseau, Drumetz, Fablet (2020).
"""

import copy
import math

import torch
from torch import nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee
from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.stable.branch import Branch, GradientBranch, TwoLayerBranch
from microlocal.networks.stable.convolution import Features, Weights, checked
from microlocal.networks.stable.evidence import norms_held
from microlocal.networks.stable.inverse import Inverse, invert_residual
from microlocal.networks.trial import NetworkTrial

MORE = 100  # operations beside the convolutions: the activation, the bias, three sums, the kernels' own norms


class ResidualBijection(nn.Module):
    """x + s g_k(x), one layer after the other, with the inverse and its error."""

    def __init__(self, layers: nn.ModuleList, repeats: int, scale: float, channels: int, dims: int) -> None:
        super().__init__()
        if not 0 < scale < 1:
            do = "Take more steps, or a slower velocity."
            raise InputError(type(self).__name__, expected="a residual below 1", got=f"{scale:g}", do=do)
        self.layers, self.repeats, self.scale, self.channels, self.dims = layers, repeats, scale, channels, dims

    def branches(self) -> list[Branch]:
        """Return the branches, the first layer's first, each once."""
        return [layer for layer in self.layers if isinstance(layer, GradientBranch | TwoLayerBranch)]

    def _steps(self) -> list[tuple[Branch, tuple[Weights, ...]]]:
        """Return every layer's branch with its kernels, which are made once."""
        return [(branch, branch.kernels()) for branch in self.branches()] * self.repeats

    def forward(self, u: Features) -> Features:
        x = checked(u, self.channels, self.dims, type(self).__name__)
        for branch, kernels in self._steps():
            x = x + self.scale * branch(x, kernels)
        return x

    @torch.no_grad()
    def inverse(self, u: Features, tolerance: float = 1e-6, most: int = 200) -> Inverse:
        """Return the image that the network sends to u, with a proved bound of the error for every entry.

        ``tolerance`` of each layer, ``most`` iterations a layer. The error is that of the network in exact arithmetic:
        what the result misses is measured in float64, whatever the precision of u, and rounding is added.
        """
        x, count = checked(u, self.channels, self.dims, type(self).__name__), 0
        double = copy.deepcopy(self).double()
        error = u.new_zeros(len(u), dtype=torch.float64)
        layers = zip(self._fields()[::-1], double._fields()[::-1], double.contractions()[::-1], strict=True)
        for field, exact, q in layers:
            layer = invert_residual(field, x, q, tolerance, most, exact, exact.operations())
            x, count = layer.value, count + layer.iterations
            error = error / (1 - q) + layer.error
        return Inverse(x, error, count)

    def _fields(self) -> list["_Scaled"]:
        return [_Scaled(branch, kernels, self.scale) for branch, kernels in self._steps()]

    def contractions(self) -> list[float]:
        """Return q_k, layer by layer."""
        return [self.scale * branch.lipschitz() for branch in self.branches()] * self.repeats

    def log_determinant_bounds(self, size: int) -> tuple[float, float]:
        """Return what log det of the Jacobian lies between, for signals of ``size`` numbers."""
        shares = self.contractions()
        return size * sum(math.log1p(-q) for q in shares), size * sum(math.log1p(q) for q in shares)

    def inverse_lipschitz(self) -> float:
        """Return the Lipschitz constant proved of the inverse."""
        return math.prod(1 / (1 - q) for q in self.contractions())

    def guarantee(self) -> Guarantee:
        bound = math.prod(1 + q for q in self.contractions())
        fixed = all(branch.bias is None for branch in self.branches())
        return Guarantee(gain=bound if fixed else math.inf, lipschitz=bound)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        largest = max(self.contractions())
        return Hypothesis("s Lip g < 1", f"at most {largest:.6f}", largest < 1), norms_held(self.branches())


class _Scaled:
    """x -> s g(x)."""

    def __init__(self, branch: Branch, kernels: tuple[Weights, ...], scale: float) -> None:
        self.branch, self.kernels, self.scale = branch, kernels, scale

    def __call__(self, x: Features) -> Features:
        return self.scale * self.branch(x, self.kernels)

    def operations(self) -> float:
        """Return a bound of the operations on a number, in parts of |x| and of the bias.

        A convolution of n products a number is off by n ε | |K| |x| |, and | |K| | <= taps √channels for |K| <= 1.
        """
        products = sum(kernel.numel() * kernel[0, 0].numel() for kernel in self.kernels)
        bias = 0.0 if self.branch.bias is None else float(self.branch.bias.abs().sum())
        return (products + MORE) * (1 + bias)


def _invertible() -> list[NetworkTrial]:
    return [
        NetworkTrial("invertible on signals", lambda: InvertibleNetwork(1, 3, 2, dims=1), (1, 11)),
        NetworkTrial("invertible on images", lambda: InvertibleNetwork(2, 2, 2, bias=False, residual=0.5), (2, 5, 6)),
    ]


def _flows() -> list[NetworkTrial]:
    return [
        NetworkTrial("flow on signals", lambda: DiffeomorphicFlow(1, 3, 4, dims=1), (1, 11)),
        NetworkTrial("flow on images", lambda: DiffeomorphicFlow(2, 2, 3, bias=False, sigma="relu"), (2, 5, 6)),
    ]


@register("network", "invertible", samples=_invertible, reference="behrmann2019")
class InvertibleNetwork(ResidualBijection):
    """``depth`` residual layers on (batch, channel, [row,] col), each a bijection with Lip of the residual < 1.

    Parameters: as :class:`ParabolicNetwork`; ``residual`` s < 1. Guarantee: Lipschitz with Π (1 + q_k), the inverse
    with Π 1/(1 - q_k), Jacobian determinant positive.

    >>> network = InvertibleNetwork(1, 4, 2, residual=0.5).double()
    >>> u = torch.rand(1, 1, 5, 5, dtype=torch.float64)
    >>> back = network.inverse(network(u), tolerance=1e-9)
    >>> bool((back.value - u).norm() <= back.error), bool(back.error < 1e-8)
    (True, True)
    """

    def __init__(
        self,
        channels: int,
        width: int,
        depth: int,
        side: int = 3,
        dims: int = 2,
        sigma: str = "tanh",
        residual: float = 0.9,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        source, count = generator(seed), at_least(depth, 1, "depth", "InvertibleNetwork")
        layers = nn.ModuleList(TwoLayerBranch(channels, width, side, dims, sigma, bias, source) for _ in range(count))
        super().__init__(layers, 1, residual, channels, dims)


@register("network", "flow", samples=_flows, reference="rousseau2020")
class DiffeomorphicFlow(ResidualBijection):
    """``steps`` layers with the same weights: the flow of a learned stationary velocity field v, Lip v <= ``speed``.

    Parameters: as :class:`ParabolicNetwork`; ``speed`` < ``steps``. Guarantee: a diffeomorphism (a homeomorphism where
    σ is not smooth), Lipschitz with (1 + Lip v/n)ⁿ <= e^{speed} for any number of steps.

    >>> network = DiffeomorphicFlow(1, 4, steps=8)
    >>> network.guarantee().lipschitz <= math.e
    True
    """

    def __init__(
        self,
        channels: int,
        width: int,
        steps: int,
        side: int = 3,
        dims: int = 2,
        sigma: str = "tanh",
        speed: float = 1.0,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        velocity = TwoLayerBranch(channels, width, side, dims, sigma, bias, generator(seed))
        count = at_least(steps, 1, "steps", "DiffeomorphicFlow")
        super().__init__(nn.ModuleList([velocity]), count, speed / count, channels, dims)
