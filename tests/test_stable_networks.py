"""Stable residual networks against closed forms, dense Jacobians, and inputs that break a bound without its reason."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from microlocal.certificates.maps import certify_map
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.progress import Progress
from microlocal.core.references import REFERENCES
from microlocal.core.registry import registered
from microlocal.core.seeding import generator
from microlocal.networks.stable import (
    DecayingNetwork,
    DiffeomorphicFlow,
    HamiltonianNetwork,
    InvertibleNetwork,
    ParabolicNetwork,
    ReversibleNetwork,
    SecondOrderNetwork,
    SymmetricNetwork,
    invert_residual,
    register_images,
)
from microlocal.networks.stable.comparison import sheared
from microlocal.networks.stable.convolution import convolved, held, norm_bound, transposed
from microlocal.networks.stable.coupling import coupled
from microlocal.networks.stable.inverse import iterations_needed
from microlocal.networks.stable.splines import VelocitySplines
from microlocal.networks.stable.tableaux import SAFE, TABLEAUX
from microlocal.networks.stable.warps import exponential, least_determinants
from microlocal.solvers.driver import Status


def _shaken(network, size=1.0, seed=5):
    """The network in float64 with parameters at random."""
    source = generator(seed)
    for value in network.double().parameters():
        value.data = size * torch.randn(value.shape, generator=source, dtype=torch.float64)
    return network


def _noise(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def _jacobian(network, u):
    flat = torch.autograd.functional.jacobian(lambda x: network(x.reshape(u.shape)).flatten(), u.flatten())
    return flat.detach()


# Convolutions


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 3, 3)])
def test_convolution_and_transpose_are_adjoint_and_held_at_norm_one(shape):
    kernel = held(5 * _noise(*shape))
    space = (9,) * (len(shape) - 2)
    u, z = _noise(1, 2, *space), _noise(1, 3, *space, seed=2)
    assert float((convolved(u, kernel) * z).sum()) == pytest.approx(float((u * transposed(z, kernel)).sum()), rel=1e-12)
    dense = torch.autograd.functional.jacobian(lambda x: convolved(x.reshape(u.shape), kernel).flatten(), u.flatten())
    norm = float(torch.linalg.matrix_norm(dense, ord=2))
    assert 0.8 < norm <= float(norm_bound(kernel)) <= 1 + 1e-12


# Runge-Kutta methods


def _amplification(tableau, z):
    """R(z) of y' = λ y, z = h λ."""
    stages = []
    for row in tableau.matrix:
        stages.append(z * (1 + sum(a * k for a, k in zip(row, stages, strict=True))))
    return 1 + sum(b * k for b, k in zip(tableau.weights, stages, strict=True))


@pytest.mark.parametrize("name", TABLEAUX)
def test_tableaux_are_consistent(name):
    tableau, z = TABLEAUX[name], torch.tensor(1e-3, dtype=torch.float64)
    assert sum(tableau.weights) == pytest.approx(1)
    order = {"euler": 1, "heun": 2, "ralston": 2, "midpoint": 2, "ssprk3": 3, "heun3": 3}.get(name, 4)
    error = abs(float(_amplification(tableau, z) - z.exp()))
    assert error == pytest.approx(1e-3 ** (order + 1) / math.factorial(order + 1), rel=0.01, abs=2e-16)


def test_radii_in_closed_form():
    ralston = 2 / (1 + math.sqrt(7 / 3))  # λ_min of [[-1/4, 5/(4√3)], [5/(4√3), -3/4]] is -(1 + √(7/3))/2
    eighths = 2 * math.sqrt(3) - 3
    expected = {"euler": 1, "heun": 1, "ssprk3": 1, "rk4": 1, "ralston": ralston, "rk4-38": eighths}
    assert {name: TABLEAUX[name].radius() for name in SAFE} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SAFE)
def test_the_disc_of_a_radius_lies_in_the_region_of_stability(name):
    tableau = TABLEAUX[name]
    edge = tableau.radius() * (torch.exp(1j * torch.linspace(0, 2 * math.pi, 400, dtype=torch.float64)) - 1)
    assert float(_amplification(tableau, edge).abs().max()) <= 1 + 1e-9
    if name in ("euler", "heun", "ssprk3", "rk4"):  # linear complex problems show that the disc cannot be larger
        wider = 1.3 * edge
        assert float(_amplification(tableau, wider).abs().max()) > (1.01 if name in ("euler", "heun") else 0)


@pytest.mark.parametrize("name", ["midpoint", "heun3"])
def test_methods_without_a_radius_are_refused_by_name(name):
    with pytest.raises(InputError, match=f"{name}, whose radius"):
        ParabolicNetwork(1, 2, 1, integrator=name)


def test_unknown_names_and_long_steps_are_refused():
    with pytest.raises(InputError, match="Did you mean 'heun'"):
        ParabolicNetwork(1, 2, 1, integrator="huen")
    with pytest.raises(InputError, match="one of charbonnier, clip"):
        ParabolicNetwork(1, 2, 1, sigma="sine")
    with pytest.raises(InputError, match=r"\(0, 1.583\]"):
        ParabolicNetwork(1, 2, 1, integrator="ralston", step=1.6)
    with pytest.raises(InputError, match="odd side"):
        ParabolicNetwork(1, 2, 1, side=4)
    with pytest.raises(ShapeError, match=r"\(batch, 1, row, col\)"):
        ParabolicNetwork(1, 2, 1)(torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("name", SAFE)
def test_steps_are_averaged_with_their_constant(name):
    network = _shaken(ParabolicNetwork(1, 3, 1, dims=1, integrator=name, step=0.8 * 2 * TABLEAUX[name].radius()))
    share = network.guarantee().averaged
    u, v = _noise(400, 1, 7), _noise(400, 1, 7, seed=2)
    u[200:] = v[200:] + 0.01 * u[200:]
    moved, d = network(u) - network(v), u - v
    left = moved.square().sum(dim=(1, 2)) + (1 - share) / share * (d - moved).square().sum(dim=(1, 2))
    assert 0 < share < 1
    assert bool((left <= d.square().sum(dim=(1, 2)) * (1 + 1e-12)).all())


def test_eulers_step_is_sharp():
    network = ParabolicNetwork(1, 1, 1, side=1).double()
    network.layers[0].raw.data.fill_(3.0)  # held at K = 1
    network.layers[0].bias.data.fill_(100.0)  # where relu is linear
    u = _noise(1, 1, 4, 4)
    network.requires_grad_(False)
    for step, stretch in ((2.0, 1.0), (2.2, 1.2)):
        network.step = step
        assert float((network(u) - network(0 * u)).norm() / u.norm()) == pytest.approx(stretch)
    with pytest.raises(InputError, match="0 < τ <= 2"):
        certify_map(network, (1, 4, 4))


# Hamiltonian, reversible


def test_a_shear_reaches_its_bound_and_pairs_depend_on_time_only():
    dense = torch.tensor([[1.0, 0.7], [0.0, 1.0]])
    assert sheared([0.7]) == pytest.approx(float(torch.linalg.matrix_norm(dense, ord=2)))
    assert sheared([0.7]) == pytest.approx(math.exp(math.asinh(0.35)))
    assert sheared([0.01, 0.01] * 100) <= math.exp(1.0)


def test_hamiltonian_jacobians_are_symplectic_with_singular_values_in_pairs_within_the_bounds():
    network = _shaken(HamiltonianNetwork(2, 3, 3, dims=1, sigma="tanh"))
    u = _noise(1, 2, 5)
    jacobian, unit = _jacobian(network, u), torch.eye(5, dtype=torch.float64)
    omega = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), unit)
    torch.testing.assert_close(jacobian.T @ omega @ jacobian, omega, rtol=0, atol=1e-12)
    values = torch.linalg.svdvals(jacobian)
    torch.testing.assert_close(values * values.flip(0), torch.ones(10, dtype=torch.float64))
    assert values[0] <= network.guarantee().lipschitz
    assert values[-1] >= 1 / network.inverse_lipschitz()


@pytest.mark.parametrize("kind", [HamiltonianNetwork, ReversibleNetwork])
def test_gradients_without_memory_are_those_of_autograd(kind):
    plain, lean = (_shaken(kind(2, 2, 3, dims=1, sigma="tanh", forget=forget)) for forget in (False, True))
    found = []
    for network in (plain, lean):
        u = _noise(2, 2, 6).requires_grad_()
        network(u).square().sum().backward()
        found.append([u.grad, *(value.grad for value in network.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lean, _noise(1, 2, 4).requires_grad_())


def test_gradients_use_the_parameters_of_the_forward_pass_and_leave_frozen_ones_alone():
    network = _shaken(ReversibleNetwork(2, 2, 2, dims=1, sigma="tanh"))
    other = {name: 0.5 * value.detach() for name, value in network.named_parameters()}
    u = _noise(1, 2, 6).requires_grad_()
    swapped = torch.func.functional_call(network, other, (u,))
    (found,) = torch.autograd.grad(swapped.sum(), u)
    network.load_state_dict(other)
    network.forget = False
    (expected,) = torch.autograd.grad(network(u).sum(), u)
    torch.testing.assert_close(found, expected)
    network.forget = True
    network.requires_grad_(False)
    network.layers[1].bias.requires_grad_()
    network(u).sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is not None] == ["layers.1.bias"]


def _activation_bytes(network, u):
    """What autograd keeps for the backward pass besides the parameters."""
    own, kept = {value.data_ptr() for value in network.parameters()}, []

    def note(tensor):
        if tensor.data_ptr() not in own:
            kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(u)
    return sum(kept)


def test_memory_does_not_grow_with_depth():
    u = torch.rand(1, 2, 24, 24, requires_grad=True)
    lean = [_activation_bytes(ReversibleNetwork(2, 2, depth), u) for depth in (4, 64)]
    plain = [_activation_bytes(ReversibleNetwork(2, 2, depth, forget=False), u) for depth in (4, 64)]
    assert lean[0] == lean[1] == 24 * 24 * 2 * 4
    assert plain[1] > 12 * plain[0] > 100 * lean[0]


@pytest.mark.parametrize("kind", [HamiltonianNetwork, ReversibleNetwork])
def test_inverses_are_exact_but_for_rounding_which_grows_as_the_bound_allows(kind):
    for dtype, unit in ((torch.float32, 1.2e-7), (torch.float64, 2.3e-16)):
        for depth in (4, 64):
            network = kind(2, 2, depth, dims=1, step=0.25).to(dtype)
            u = _noise(1, 2, 30).to(dtype)
            error = float((network.inverse(network(u)) - u).detach().norm() / u.norm())
            assert error < 20 * unit * math.sqrt(depth)


def test_halves_are_needed():
    with pytest.raises(InputError, match="even number of channels"):
        HamiltonianNetwork(3, 2, 1)
    with pytest.raises(InputError, match=r"\(0, 2\]"):
        ReversibleNetwork(2, 2, 1, step=2.5)


def test_second_derivatives_are_refused():
    x, branch = torch.ones(1, 1, 1, requires_grad=True), nn.Conv1d(1, 1, 1)
    (slope,) = torch.autograd.grad(coupled([branch], [1.0], x, x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


# Second order


def test_leapfrog_is_the_two_step_recursion_and_linear_waves_are_those_of_chebyshev():
    network = _shaken(SecondOrderNetwork(1, 2, 6, dims=1, sigma="charbonnier", shared=True))
    path = [y for y, _ in network.path(_noise(1, 1, 9))]
    before = path[0]
    for here, after in pairwise(path):
        torch.testing.assert_close(after, 2 * here - before - network.step**2 * network.layers[0](here))
        before = here
    wave = SecondOrderNetwork(1, 1, 5, side=1, dims=1, sigma="tanh", step=0.5, bias=False, shared=True).double()
    wave.layers[0].raw.data.fill_(1.0)
    angle = 2 * math.asin(0.25)
    exact = math.cos(5.5 * angle) / math.cos(0.5 * angle)
    tiny = torch.full((1, 1, 1), 1e-5, dtype=torch.float64)  # where tanh is linear
    assert float(wave(tiny).detach() / tiny) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("sigma", ["relu", "tanh", "clip", "charbonnier"])
def test_energy_stays_below_its_bound(sigma):
    network = _shaken(SecondOrderNetwork(1, 3, 12, dims=1, sigma=sigma, shared=True, step=0.4))
    energy = network.energies(3 * _noise(20, 1, 9)).detach()
    assert bool((energy >= 0).all())
    assert bool((energy[1:] <= energy[:-1] * network.energy_growth() * (1 + 1e-12)).all())
    fine = SecondOrderNetwork(1, 3, 100, shared=True, step=0.01)
    assert fine.energy_growth() ** 100 < 1.011
    with pytest.raises(InputError, match="shared=True"):
        SecondOrderNetwork(1, 2, 2).energies(torch.zeros(1, 1, 4, 4))


def test_growth_of_distances_tends_to_the_hyperbolic_cosine():
    network = SecondOrderNetwork(1, 1, 400, side=1, step=0.005, shared=True).double()
    network.layers[0].raw.data.fill_(2.0)
    assert network.guarantee().lipschitz == pytest.approx(math.cosh(2.0), rel=0.01)


# The variants of Zhang and Schaeffer


@pytest.mark.parametrize("kind", [DecayingNetwork, SymmetricNetwork])
def test_growth_and_sensitivity_stay_below_their_bounds(kind):
    network = _shaken(kind(2, 3, 4), size=0.3)
    u = torch.cat([_noise(20, 2, 5, 6), 1e-3 * _noise(20, 2, 5, 6)])
    v = u + 0.01 * _noise(40, 2, 5, 6, seed=3)
    sizes = [x.detach().flatten(1).norm(dim=1) for x in (network(u), u, network(u) - network(v), u - v)]
    growth = network.growth(30)
    assert math.isinf(network.guarantee().gain)
    assert 0 < growth < 100
    assert bool((sizes[0] <= sizes[1] + growth).all())
    assert float((sizes[0] - sizes[1]).max()) > 0.01 * growth
    assert bool((sizes[2] <= network.guarantee().lipschitz * sizes[3] * (1 + 1e-12)).all())


def test_a_negative_outer_weight_breaks_the_growth_of_the_decaying_network():
    network = DecayingNetwork(1, 1, 6, side=1, step=1.0, bias=False).double().requires_grad_(False)
    for branch in network.layers:
        branch.raw_inner.data.fill_(1.0)
        branch.raw_outer.data.fill_(-1.0)
    u = torch.rand(1, 1, 4, 4, generator=generator(0), dtype=torch.float64)
    assert bool((network(u) <= u).all())
    for branch in network.layers:
        branch.positive = False
    assert float(network(u).norm() / u.norm()) == pytest.approx(2**6)
    assert [h.holds for h in network.hypotheses()] == [False, True, True]


def test_a_large_kernel_breaks_the_symmetric_network(monkeypatch):
    network = SymmetricNetwork(1, 1, 1, side=1, step=2.0).double().requires_grad_(False)
    network.layers[0].raw.data.fill_(1.5)
    network.layers[0].bias.data.fill_(-1.0)
    network.outer.data.fill_(10.0)
    u, v = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (2.0, 3.0))
    assert float((network(u) - network(v)).abs()) == pytest.approx(1.0)
    monkeypatch.setattr("microlocal.networks.stable.branch.held", lambda weights: weights)
    assert float((network(u) - network(v)).abs()) == pytest.approx(2 * 1.5**2 - 1)
    assert [h.holds for h in network.hypotheses()] == [False, False, True]


# Invertible networks and flows


def test_the_error_of_an_inverse_is_bounded_before_and_after():
    exact = _noise(3, 4)
    branch = lambda x: 0.8 * torch.tanh(x.flip(1))  # noqa: E731
    y = exact + branch(exact)
    first = float((branch(y)).norm(dim=1).max())
    for most in (1, 5, 40):
        found = invert_residual(branch, y, 0.8, tolerance=1e-14, most=most)
        missed = (found.value - exact).norm(dim=1)
        assert bool((missed <= found.error).all())
        assert float(missed.max()) <= 0.8**most / 0.2 * first
    enough = iterations_needed(0.8, first, 1e-6)
    assert float((invert_residual(branch, y, 0.8, 1e-14, enough).value - exact).norm(dim=1).max()) <= 1e-6
    with pytest.raises(InputError, match="Lip g < 1"):
        invert_residual(branch, y, 1.0)


@pytest.mark.parametrize(
    ("network", "level"),
    [(DiffeomorphicFlow(1, 4, 8), 5.0), (InvertibleNetwork(1, 4, 3, bias=False, residual=0.5), 1000.0)],
    ids=["flow", "invertible"],
)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7])
def test_the_error_of_an_inverse_holds_in_float32(network, level, tolerance):
    y = level + torch.rand(2, 1, 16, 16, generator=generator(0))
    exact = copy.deepcopy(network).double().inverse(y.double(), tolerance=1e-12)
    found = network.inverse(y, tolerance)
    missed = (found.value.double() - exact.value).flatten(1).norm(dim=1)
    assert bool((missed <= found.error + exact.error).all())
    assert bool((found.error <= 100 * missed + 1e-3 * tolerance).all())


def test_the_error_of_an_inverse_is_never_said_to_be_zero():
    network, y = InvertibleNetwork(1, 4, 2).double(), _noise(1, 1, 5, 5)
    found = network.inverse(y, tolerance=1e-14)
    assert 1e-16 < float(found.error) < 1e-9
    plain = invert_residual(lambda x: 0.5 * torch.sin(x), y.float(), 0.5, tolerance=1e-9)
    finer = invert_residual(lambda x: 0.5 * torch.sin(x), y, 0.5, tolerance=1e-13)
    assert float((plain.value - finer.value).norm()) <= float(plain.error)


@pytest.mark.parametrize(
    "network",
    [InvertibleNetwork(1, 3, 3, dims=1), DiffeomorphicFlow(1, 3, 4, dims=1, speed=2.0, sigma="relu")],
    ids=["invertible", "flow"],
)
def test_bijections_have_positive_determinants_between_their_bounds_and_inverses_with_errors(network):
    network = _shaken(network, 2.0)
    u = _noise(2, 1, 6)
    back = network.inverse(network(u).detach(), tolerance=1e-10)
    assert bool(((back.value - u).flatten(1).norm(dim=1) <= back.error + 1e-14).all())
    assert float(back.error.max()) < 1e-6
    low, high = network.log_determinant_bounds(6)
    jacobian = _jacobian(network, u[:1])
    sign, size = torch.linalg.slogdet(jacobian)
    assert float(sign) == 1
    assert low <= float(size) <= high
    values = torch.linalg.svdvals(jacobian)
    assert 1 / network.inverse_lipschitz() <= float(values[-1]) <= float(values[0]) <= network.guarantee().lipschitz
    rough = network.inverse(network(u).detach(), tolerance=1e-1)
    assert bool(((rough.value - u).flatten(1).norm(dim=1) <= rough.error).all())


def test_flows_tend_to_the_exponential_with_the_first_order():
    def ends(steps):
        return _shaken(DiffeomorphicFlow(1, 3, steps, dims=1))(_noise(1, 1, 8)).detach()

    exact, errors = ends(4096), []
    for steps in (8, 16, 32):
        errors.append(float((ends(steps) - exact).norm()))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    with pytest.raises(InputError, match="below 1"):
        DiffeomorphicFlow(1, 2, steps=2, speed=2.0)


# Registration


def _pattern(rows, cols, size):
    """An analytic image with structure everywhere, at places in pixels."""
    x, y = rows / size - 0.5, cols / size - 0.5
    waves = torch.sin(14 * x + 6 * y) + torch.cos(11 * y - 9 * x * y)
    return waves + torch.sin(25 * (x * x + y * y)) + 0.5 * torch.sin(30 * x * y + 8 * y)


def _swirl(rows, cols, size):
    """A velocity in pixels: a turn around the middle, and a push."""
    x, y = rows / size - 0.5, cols / size - 0.5
    bump = size * torch.exp(-(x * x + y * y) / 0.04)
    return torch.stack([(0.04 - 0.9 * y) * bump, (0.02 + 0.9 * x) * bump])


@pytest.fixture(scope="module")
def known():
    """Moving and fixed image, and the displacement between them, by Runge and Kutta."""
    size = 64
    axis = torch.arange(size, dtype=torch.float64)
    start = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    place, h = start, 1 / 64
    for _ in range(64):
        k1 = _swirl(*place, size)
        k2 = _swirl(*(place + h / 2 * k1), size)
        k3 = _swirl(*(place + h / 2 * k2), size)
        k4 = _swirl(*(place + h * k3), size)
        place = place + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return _pattern(*start, size), _pattern(*place, size), place - start


def test_a_known_diffeomorphism_is_found_with_its_inverse(known):
    moving, fixed, truth = known
    assert float(truth.norm(dim=0).max()) > 6
    found = register_images(moving, fixed, weight=0.003)
    error = (found.warp - truth).norm(dim=0)
    assert float(error.mean()) < 0.15
    assert float(error.max()) < 1.2
    assert found.inverse_error() < 0.05
    assert float(found.jacobian.min()) > 0.5
    assert float((found.apply(moving) - fixed).square().mean() / fixed.var()) < 1e-3
    assert float((found.undo(fixed) - moving)[8:-8, 8:-8].square().mean() / moving.var()) < 2e-3
    assert found.status is Status.CONVERGED
    assert found.history["misfit"][-1] < 0.05 * found.history["misfit"][0]


def test_small_slopes_of_a_large_smooth_image_do_not_end_the_fit():
    axis = torch.arange(256.0)
    rows, cols = torch.meshgrid(axis, axis, indexing="ij")
    push = 5 * torch.exp(-((rows - 128) ** 2 + (cols - 128) ** 2) / 4000)
    found = register_images(_pattern(rows, cols, 256), _pattern(rows + push, cols, 256), levels=2)
    assert float((found.warp[0] - push).abs().mean()) < 0.25 * float(push.mean())
    assert found.warp.dtype == torch.float32


def test_the_bound_of_the_velocity_holds_and_exponentials_have_their_order(known):
    size, splines = known[0].shape[0], VelocitySplines((64, 64), 8.0)
    c = 3 * _noise(2, *splines.nodes)
    fine = splines.velocity(c, (256, 256)) / 4
    slopes = torch.stack([4 * fine.diff(dim=axis)[:, :255, :255] for axis in (1, 2)])
    steepest = torch.linalg.matrix_norm(slopes.permute(2, 3, 0, 1), ord=2).max()
    assert 0.3 * splines.lipschitz(c) < float(steepest) <= splines.lipschitz(c)
    rows, cols = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    velocity = _swirl(rows, cols, size)
    misses = [float((exponential(velocity, m) - known[2]).norm(dim=0).max()) for m in (0, 1, 5)]
    assert 3.5 < misses[0] / misses[1] < 6  # the second order of the midpoint rule
    assert misses[2] < 0.1  # and what interpolation adds


def test_folds_are_seen_at_the_corners_of_cells():
    flat = torch.zeros(2, 5, 6)
    assert torch.equal(least_determinants(flat), torch.ones(4, 5))
    scaled = torch.stack(torch.meshgrid(torch.arange(5.0), 2 * torch.arange(6.0), indexing="ij"))
    torch.testing.assert_close(least_determinants(scaled), torch.full((4, 5), 6.0))
    flat[1, 2, 2] = 1.5  # beyond its neighbour
    assert (least_determinants(flat) < 0).sum() == 2


def test_registration_refuses_what_it_cannot_use(known):
    moving, fixed, _ = known
    with pytest.raises(ShapeError, match="same shape"):
        register_images(moving, fixed[:, :32])
    with pytest.raises(ShapeError, match="at least 16"):
        register_images(moving[:8], fixed[:8])
    with pytest.raises(InputError, match="register_images, fixed: expected finite"):
        register_images(moving, fixed / 0)
    with pytest.raises(InputError, match="float32 or float64"):
        register_images(moving.int(), fixed)
    with pytest.raises(InputError, match="structure"):
        register_images(moving, torch.ones_like(fixed))
    with pytest.raises(InputError, match="spacing > 0"):
        register_images(moving, fixed, spacing=0.0)


def test_an_interrupted_registration_returns_what_it_has(known):
    class Impatient(Progress):
        count = 0

        def advance(self, task, steps=1):
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt

    found = register_images(known[0], known[1], progress=Impatient())
    assert found.status is Status.INTERRUPTED
    assert len(found.history["misfit"]) == 1
    assert float(found.warp.abs().max()) > 0.5
    assert found.inverse_error() < 0.1


def test_every_stable_network_has_a_row_and_a_reference_on_its_page(repository):
    page = (repository / "docs" / "stable-networks.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    entries = [
        e for e in registered("network").values() if e.member.__module__.startswith("microlocal.networks.stable")
    ]
    assert {entry.member.__name__ for entry in entries} == rows
    assert all(entry.reference in REFERENCES for entry in entries)
