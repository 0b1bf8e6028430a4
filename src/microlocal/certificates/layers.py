"""What is proved of torch's own layers, and of networks that are a sequence of them.

    convolution     |K| <= |k| |P|: the norm of its filters on Z² (``filters``), and that of its padding P
    linear          the largest singular value
    activations     the largest slope
    normalisation   the largest |γ|/√(v + ε), with the statistics that were learned (evaluation mode)
    pooling         1/k for means of k² pixels, 1 for maxima of disjoint ones

The padding repeats pixels, and |P|² is how often it repeats one at most, in images of any size: 3 along an axis for
"reflect" and "circular", 1 + the pixels added for "replicate". Around a torus, where no result is computed twice, it
counts as one; stride and borders leave parts of the whole.

The Lipschitz constant of a sequence is at most the product. A layer that is not listed has none that is known here, and
neither has one of a class of one's own: its ``forward`` may do anything, and so may hooks. Nor has one with complex
weights, whose images are not real, or with weights of 16 bits, whose rounding makes jumps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from microlocal.certificates.filters import filter_norm_bound
from microlocal.certificates.guarantee import IDENTITY, Guarantee, chain
from microlocal.certificates.maps import Certified, hypotheses_of, is_altered, is_narrow

FINE = 16  # places along an axis, for every pixel of a filter: 2 % above the norm at most
SMOOTH = 20.0  # threshold of softplus from which its jump, e^-20, is below rounding in float32
SLOPES: dict[type[nn.Module], float] = {
    nn.ReLU: 1.0,
    nn.Tanh: 1.0,
    nn.Softplus: 1.0,
    nn.Sigmoid: 0.25,
    nn.Hardtanh: 1.0,
    nn.SiLU: 1.0999,  # at 2.3994: 1.09984
    nn.GELU: 1.1290,  # at √2: 1.12890
    nn.ELU: 1.0,
}
KNOWN = (*SLOPES, nn.Identity, nn.Dropout, nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d,
         nn.AvgPool2d, nn.MaxPool2d)  # fmt: skip
AT_ZERO = (nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU)  # that leave zero alone
ROUNDING = 1e-6  # of sums in float32


@dataclass(frozen=True)
class Part:
    """One layer: its ``name`` within the network, what it is, and what is proved of it alone."""

    name: str
    kind: str
    proved: Guarantee


def guarantee_of(network: nn.Module) -> Guarantee:
    """Return what is proved of a network: what it states itself where its hypotheses hold, or what follows from layers.

    >>> layers = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())
    >>> _ = layers[0].weight.data.copy_(2 * torch.eye(3))
    >>> round(guarantee_of(layers).lipschitz, 3)
    2.0
    """
    if isinstance(network, Certified):
        sound = all(hypothesis.holds for hypothesis in hypotheses_of(network))
        return network.guarantee() if sound else Guarantee()
    own = network.parameters(recurse=False)
    if is_altered(network) or any(value.is_complex() or is_narrow(value) for value in own):
        return Guarantee()
    if type(network) is nn.Sequential:
        return chain([guarantee_of(layer) for layer in network])
    return _of_layer(network) if type(network) in KNOWN else Guarantee()


def parts_of(network: nn.Module) -> list[Part]:
    """Return the layers of a network in the order in which they are applied, each with what is proved of it alone."""
    own: Callable[[], Sequence[tuple[str, Guarantee]]] | None = getattr(network, "parts", None)
    if own is not None:
        return [Part(name, "block", proved) for name, proved in own()]
    if type(network) is nn.Sequential:
        return [
            Part(name, type(layer).__name__, guarantee_of(layer))
            for name, layer in network._modules.items()
            if layer is not None
        ]
    return [Part("network", type(network).__name__, guarantee_of(network))]


def costliest(parts: Sequence[Part]) -> Part | None:
    """Return the layer whose Lipschitz constant costs most; none where all are at most one, or nothing is known."""
    known = [part for part in parts if math.isfinite(part.proved.lipschitz)]
    worst = max(known, key=lambda part: part.proved.lipschitz, default=None)
    return worst if worst is not None and worst.proved.lipschitz > 1 + ROUNDING else None


def _of_layer(layer: nn.Module) -> Guarantee:
    slope = _slope(layer)
    if slope is not None:
        return Guarantee(gain=slope if isinstance(layer, AT_ZERO) else math.inf, lipschitz=slope)
    if isinstance(layer, nn.Identity) or (isinstance(layer, nn.Dropout) and not layer.training):
        return IDENTITY
    bound = _linear_norm(layer)
    # Normalisation subtracts a mean even where it has no bias.
    biased = getattr(layer, "bias", None) is not None or isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))
    return Guarantee(gain=math.inf if biased else bound, lipschitz=bound)


def _slope(layer: nn.Module) -> float | None:
    """Return the largest slope of an activation; none of other layers."""
    if isinstance(layer, nn.Softplus) and layer.threshold < SMOOTH:
        return math.inf
    slope = SLOPES.get(type(layer))
    return max(1.0, abs(layer.alpha)) if isinstance(layer, nn.ELU) else slope


def _linear_norm(layer: nn.Module) -> float:
    """Return an upper bound of the norm of a linear layer; infinite where the layer is not known."""
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        return _convolution_norm(layer)
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2)) * (1 + ROUNDING)
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and not layer.training and layer.running_var is not None:
        scale = torch.ones(()) if layer.weight is None else layer.weight.detach().double()
        return float((scale / (layer.running_var.double() + layer.eps).sqrt()).abs().max()) * (1 + ROUNDING)
    if isinstance(layer, nn.AvgPool2d) and layer.kernel_size == layer.stride and isinstance(layer.stride, int):
        # Windows cut by the border would have larger weights.
        return math.inf if layer.ceil_mode or layer.padding or layer.divisor_override else 1.0 / layer.stride
    if isinstance(layer, nn.MaxPool2d) and layer.kernel_size == layer.stride and layer.dilation == 1:
        return 1.0
    return math.inf


def _convolution_norm(layer: nn.Conv1d | nn.Conv2d) -> float:
    """Return an upper bound; groups act on channels of their own, so the largest of their bounds."""
    weight = layer.weight.detach().double()
    groups = (weight if weight.ndim == 4 else weight[:, :, None]).chunk(layer.groups)
    grid = FINE * max(layer.kernel_size)

    def norm(stride: int) -> float:
        return max(float(filter_norm_bound(group, "zero", stride, grid)) for group in groups) * (1 + ROUNDING)

    whole = norm(1) * _padding_norm(layer, torus=True)
    if {*layer.dilation} != {1} or len({*layer.stride}) > 1:
        return whole
    return min(whole, norm(layer.stride[0]) * _padding_norm(layer, torus=False))


def _padding_norm(layer: nn.Conv1d | nn.Conv2d, *, torus: bool) -> float:
    """Return |P|; with ``torus`` axes count as one along which all results of stride one lie around a torus."""
    copies = 1
    for axis, (side, dilation) in enumerate(zip(layer.kernel_size, layer.dilation, strict=True)):
        reach = dilation * (side - 1)
        added = _added(layer.padding, axis, reach)
        around = torus and layer.padding_mode == "circular" and added <= reach
        if added and layer.padding_mode != "zeros" and not around:
            copies *= 1 + added if layer.padding_mode == "replicate" else 3
    return math.sqrt(copies)


def _added(padding: str | tuple[int, ...], axis: int, reach: int) -> int:
    """Return how many pixels are added along an axis, on both sides together."""
    if isinstance(padding, str):
        return reach if padding == "same" else 0
    return 2 * padding[axis]
