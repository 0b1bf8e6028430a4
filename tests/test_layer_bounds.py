"""Upper bounds of filters and of torch's own layers, against dense matrices, and what is no bound."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from microlocal.certificates import filter_norm_bound
from microlocal.certificates.attack import Search, spread, worst
from microlocal.certificates.layers import costliest, guarantee_of, parts_of
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.networks.dncnn import DnCNN


def dense(filters, shape, **how):
    """Return the matrix of a convolution on images of a shape."""
    unit = torch.eye(filters.shape[1] * math.prod(shape), dtype=torch.float64).reshape(-1, filters.shape[1], *shape)
    if how.pop("circular", False):
        pad = filters.shape[-1] - 1
        return functional.conv2d(functional.pad(unit, (0, pad, 0, pad), mode="circular"), filters).flatten(1).T
    if how.pop("reflect", False):
        unit = functional.pad(unit, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(unit, filters, **how).flatten(1).T


@pytest.mark.parametrize("channels", [(1, 1), (4, 2), (3, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_bounds_of_filters_lie_just_above_the_dense_norm(channels, stride):
    filters = torch.randn(*channels, 3, 3, dtype=torch.float64, generator=generator(sum(channels)))
    bound = float(filter_norm_bound(filters, stride=stride, grid=128))
    norm = float(torch.linalg.matrix_norm(dense(filters, (20, 20), stride=stride, padding=2), 2))
    assert norm <= bound <= 1.05 * norm


@pytest.mark.parametrize("boundary", ["valid", "zero", "circular", "reflect"])
def test_bounds_hold_for_every_boundary(boundary):
    filters = torch.randn(2, 1, 3, 3, dtype=torch.float64, generator=generator(1))
    how = {"valid": {}, "zero": {"padding": 1}, "circular": {"circular": True}, "reflect": {"reflect": True}}[boundary]
    for shape in ((3, 3), (4, 7), (12, 9)):
        norm = float(torch.linalg.matrix_norm(dense(filters, shape, **dict(how)), 2))
        assert norm <= float(filter_norm_bound(filters, boundary))


def _norm(layer, shape):
    """Return the norm of a layer on images of a shape, from its matrix; zero where torch refuses it."""
    unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    try:
        with torch.no_grad():
            return float(torch.linalg.matrix_norm(layer.double()(unit).flatten(1).T, 2))
    except RuntimeError:
        return 0.0


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
def test_no_convolution_exceeds_its_bound(mode, side):
    """All paddings, strides, dilations and groups, on odd and even images as small as the padding allows."""
    compared = 0
    for padding, stride, dilation, groups in itertools.product((0, 1, 2, "same"), (1, 2, 3, (1, 2)), (1, 2), (1, 2)):
        if padding == "same" and stride != 1:
            continue
        layer = nn.Conv2d(2, 2, side, stride, padding, dilation, groups, bias=False, padding_mode=mode)
        for fill in (nn.init.ones_, nn.init.normal_):
            fill(layer.weight)
            norms = [_norm(layer, (2, *shape)) for shape in ((2, 3), (3, 3), (4, 4), (5, 4), (6, 7))]
            assert max(norms) <= guarantee_of(layer).lipschitz, layer
            compared += sum(norm > 0 for norm in norms)
    assert compared > 200


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
def test_no_convolution_of_signals_exceeds_its_bound(mode):
    norms = []
    for side, padding, stride, n in itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (2, 3, 4, 7)):
        layer = nn.Conv1d(1, 2, side, stride, padding, bias=False, padding_mode=mode)
        nn.init.ones_(layer.weight)
        norms.append(_norm(layer, (1, n)))
        assert norms[-1] <= guarantee_of(layer).lipschitz, (layer, n)
    assert sum(norm > 0 for norm in norms) > 50


def test_usual_convolutions_lose_nothing_to_their_padding():
    """Around a torus, and with zeros: the bound is that of the filters, 2 % above the norm."""
    for layer in (
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False),
        nn.Conv2d(1, 1, 3, padding="same", padding_mode="circular", bias=False),
        nn.Conv2d(1, 1, 3, padding=2, bias=False),
    ):
        nn.init.ones_(layer.weight)
        assert 9.0 <= guarantee_of(layer).lipschitz <= 9.2
    half = nn.Conv2d(1, 1, 2, stride=2, bias=False)
    nn.init.ones_(half.weight)
    assert 2.0 <= guarantee_of(half).lipschitz <= 2.1


def test_layers_of_ones_own_class_have_no_bound():
    class Residual(nn.Sequential):
        def forward(self, u):
            return u + super().forward(u)

    class Tenfold(nn.Conv2d):
        def forward(self, u):
            return 10 * super().forward(u)

    class Doubled(nn.ReLU):
        def forward(self, u):
            return 2 * super().forward(u)

    for layer in (Residual(nn.Identity()), Tenfold(1, 1, 1), Doubled(), nn.Sequential(Tenfold(1, 1, 1))):
        assert guarantee_of(layer).lipschitz == math.inf
    assert [part.name for part in parts_of(Residual(nn.Identity()))] == ["network"]


def _growth(network):
    """Return how far apart the worst two of a few vectors get."""
    u = torch.eye(3)
    with torch.no_grad():
        return float(torch.linalg.matrix_norm(network(u) - network(torch.zeros(3)), 2))


def _weight_normed(layer):
    nn.utils.weight_norm(layer)
    layer.weight_g.data.mul_(100.0)


def _pruned(layer):
    prune.l1_unstructured(layer, "weight", 1)
    layer.weight_orig.data.mul_(100.0)


def _hooked(layer):
    layer.register_forward_hook(lambda module, given, found: 100 * found)


def _hooked_before(layer):
    layer.register_forward_pre_hook(lambda module, given: (100 * given[0],))


def _replaced(layer):
    before = layer.forward
    layer.forward = lambda u: 100 * before(u)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("alter", [_weight_normed, _pruned, _hooked, _hooked_before, _replaced])
def test_a_layer_that_computes_something_else_than_its_class_has_no_bound(alter):
    """Weights that a hook makes when the layer is called are those of the last call until then."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3, bias=False))
    before = guarantee_of(network).lipschitz
    alter(network[0])
    assert guarantee_of(network).lipschitz == math.inf
    assert _growth(network) > 10 * before


def test_hooks_of_a_sequence_and_what_was_made_permanent():
    network = nn.Sequential(nn.Linear(3, 3, bias=False))
    prune.l1_unstructured(network[0], "weight", 2)
    prune.remove(network[0], "weight")
    assert _growth(network) <= guarantee_of(network).lipschitz < math.inf
    _hooked(network)
    assert guarantee_of(network).lipschitz == math.inf


def test_complex_weights_have_no_bound():
    """Their real part alone is zero here."""
    for layer in (nn.Linear(2, 2, dtype=torch.complex64), nn.Conv2d(1, 1, 3, dtype=torch.complex64)):
        layer.weight.data.fill_(100j)
        assert guarantee_of(nn.Sequential(layer)).lipschitz == math.inf


def test_what_is_zero_before_a_bias_is_not_zero_after_it():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    nn.init.zeros_(network[0].weight)
    assert float(network(torch.ones(1, 3)).detach().norm()) > 0.1
    assert guarantee_of(network).gain == math.inf


def test_layers_that_share_their_weights_are_all_listed():
    shared = nn.Linear(3, 3)
    assert [part.name for part in parts_of(nn.Sequential(shared, nn.ReLU(), shared))] == ["0", "1", "2"]


def test_softplus_that_jumps_has_no_bound():
    assert guarantee_of(nn.Softplus()).lipschitz == 1.0
    assert guarantee_of(nn.Softplus(threshold=0.0)).lipschitz == math.inf
    assert guarantee_of(nn.ELU(alpha=-3.0)).lipschitz == 3.0


def test_neither_a_reshaped_kernel_nor_power_iteration_is_a_bound():
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert float(torch.linalg.matrix_norm(ones.reshape(1, 9), 2)) == pytest.approx(3.0)
    assert float(torch.linalg.matrix_norm(dense(ones, (16, 16), padding=1), 2)) > 8.5
    assert 9.0 <= float(filter_norm_bound(ones)) <= 9.0 * 1.04


def test_bad_filters_are_refused():
    with pytest.raises(ShapeError, match="filter, channel, row, col"):
        filter_norm_bound(torch.ones(3, 3))
    with pytest.raises(InputError, match="a grid above 4"):
        filter_norm_bound(torch.ones(1, 1, 3, 3), grid=4)
    with pytest.raises(InputError, match="valid or zero"):
        filter_norm_bound(torch.ones(1, 1, 3, 3), boundary="wrap")


def test_layers_of_torch_are_bounded_and_the_costliest_named():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, stride=2, groups=2, bias=False),
        nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1, padding_mode="reflect"),
    ).eval()  # fmt: skip
    network[3].weight.data.mul_(9.0)
    bound = guarantee_of(network).lipschitz
    assert worst(network, (1, 12, 12), spread, Search(4, 60))[0] <= bound
    assert costliest(parts_of(network)).name == "3"
    assert guarantee_of(nn.Sequential(nn.GroupNorm(1, 4))).lipschitz == math.inf
    assert costliest(parts_of(nn.Sequential(nn.ReLU()))) is None


def test_layers_with_unusual_options_are_not_bounded_too_low():
    torch.manual_seed(0)
    steep, partial = nn.ELU(alpha=3.0), nn.AvgPool2d(2, ceil_mode=True)
    assert worst(steep, (1, 4, 4), spread, Search(4, 40))[0] <= guarantee_of(steep).lipschitz == 3.0
    corner = torch.zeros(1, 1, 3, 3)
    corner[..., 2, 2] = 1.0
    assert float(partial(corner).norm()) == 1.0  # not one half: the window holds one pixel
    assert guarantee_of(partial).lipschitz == math.inf
    shifted = nn.BatchNorm2d(1, affine=False).eval()
    shifted.running_mean.fill_(2.0)
    assert guarantee_of(shifted).gain == math.inf
    assert guarantee_of(shifted).lipschitz == pytest.approx(1.0, abs=1e-4)
    assert guarantee_of(nn.Hardtanh(1.0, 2.0)).gain == math.inf


def test_a_plain_network_has_a_bound_and_stays_below_it():
    torch.manual_seed(0)
    network = DnCNN(depth=4, width=6)
    nn.init.normal_(network.residual[-1].weight, std=0.3)
    found = worst(network, (1, 10, 10), spread, Search(4, 40))[0]
    assert 1.5 < found <= network.upper_bound().lipschitz
