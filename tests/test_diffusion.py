"""Diffusion of images: kernels beside plain torch and dense matrices, what every scheme promises, and refusals."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from microlocal.core.errors import InputError, ShapeError, UnknownNameError
from microlocal.core.grid import Grid
from microlocal.core.seeding import generator
from microlocal.data.phantoms import Ellipse
from microlocal.data.phantoms import image as phantom
from microlocal.dictionary import (
    cycle_time,
    diffuse,
    diffused,
    diffusion_step,
    evolved,
    from_activation,
    from_diffusivity,
    from_regulariser,
    largest_step,
    nonlinearity,
)
from microlocal.dictionary.tabulated import tabulated
from microlocal.kernels import diffusion as kernels
from microlocal.kernels import diffusion_torch
from microlocal.kernels.diffusivities import Charbonnier

TABLED = {
    "tanh": lambda: from_activation(torch.tanh),
    "one corner": lambda: from_activation(lambda s: s.clamp(-0.37, 0.37)),
    "one jump": lambda: from_activation(lambda s: torch.where(s.abs() <= 0.37, s, 0.0)),
    "welsch": lambda: from_regulariser(lambda s: 1 - torch.exp(-(s**2))),
    "weickert": lambda: from_diffusivity(lambda s: torch.where(s == 0, 1.0, 1 - torch.exp(-3.31488 / (s / 0.3) ** 8))),
}
FSI = [(1.0, 0.0), *(((4 * k + 2) / (2 * k + 3), 1 - (4 * k + 2) / (2 * k + 3)) for k in range(1, 13))]


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=generator(seed))


def plain(image, entry, weights, coupled):
    return diffusion_torch.evolve(image, weights.to(image), entry.activation, entry.diffusivity, coupled)


def fast_iterations(tau):
    return torch.tensor([(a, b, max(a, 2 / 3) * tau) for a, b in FSI], dtype=torch.float64)


def far(one, other):
    return float((one - other).abs().max() / other.abs().max())


def dense(shape):
    """Kᵀ K of reflected forward differences, (pixel, pixel)."""
    rows, cols = (np.diff(np.eye(n), axis=0) for n in shape)
    down, right = np.kron(rows, np.eye(shape[1])), np.kron(np.eye(shape[0]), cols)
    return torch.from_numpy(down.T @ down + right.T @ right)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("shape", [(2, 2), (3, 17), (2, 3, 40, 5), (1, 300, 33)])
def test_kernels_are_the_plain_steps_in_single_precision(shape, coupled):
    entry, image, weights = nonlinearity("perona-malik", 0.4), noise(*shape, dtype=torch.float32), fast_iterations(0.2)
    gap = far(evolved(image, entry, weights, coupled), plain(image, entry, weights, coupled))
    assert gap < 3e-5  # it sharpens, rounding errors too


def test_tiles_are_seen_in_nothing(monkeypatch):
    entry, image = nonlinearity("charbonnier", 0.4), noise(2, 150, 31)
    whole = diffuse(image, entry, 5.0)
    whole_slope = kernels.evolve_back(*_back_arguments(image))
    monkeypatch.setattr(kernels, "_CACHE", 40_000)
    assert torch.equal(diffuse(image, entry, 5.0), whole)
    monkeypatch.setattr(kernels, "_STORE", 3 * image.nbytes)  # keeps few states, computes the others again
    for one, other in zip(kernels.evolve_back(*_back_arguments(image)), whole_slope, strict=True):
        assert far(torch.from_numpy(one), torch.from_numpy(other)) < 1e-13


def _back_arguments(image):
    weights = np.repeat(fast_iterations(0.2).repeat(3, 1).numpy()[None], 2, axis=0)
    slope = np.cos(image.numpy())
    return Charbonnier(np.float64(1 / 0.4**2)), False, image.numpy(), weights, slope, True


@pytest.mark.parametrize("coupled", [False, True])
def test_threads_change_no_bit(coupled):
    entry, image = nonlinearity("charbonnier", 0.1), noise(300, 200, dtype=torch.float32)
    ends = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            u = image.clone().requires_grad_()
            end = diffuse(u, entry, 6.0, coupled=coupled)
            ends.append((end.detach(), *torch.autograd.grad(end.square().sum(), u)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in ends[1:] for a, b in zip(ends[0], other, strict=True))


@pytest.mark.parametrize("scheme", ["explicit", "fsi"])
@pytest.mark.parametrize("coupled", [False, True])
def test_what_an_earlier_call_left_in_memory_is_not_read(scheme, coupled):
    """Kernels keep their memory from call to call: here a call leaves numbers that are none wherever it can."""

    def run(start):
        image = start.clone().requires_grad_()
        result = diffuse(image, nonlinearity("perona-malik", 0.3), 5.0, 24, scheme=scheme, coupled=coupled)
        return result.detach(), *torch.autograd.grad(result.square().sum(), image)

    start = torch.rand(70, 45, generator=generator(0))
    expected = run(start)
    run(torch.full((90, 61), torch.nan))
    for found, before in zip(run(start), expected, strict=True):
        assert torch.equal(found, before)


def test_calls_at_the_same_time_do_not_share_memory():
    images = [torch.rand(200, 180, generator=generator(k)) for k in range(6)]

    def run(image):
        return diffuse(image, nonlinearity("perona-malik-rational", 0.3), 10.0, 40)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(run, images * 5))
    for k, result in enumerate(found):
        assert torch.equal(result, run(images[k % len(images)]))


@pytest.mark.parametrize("coupled", [False, True])
def test_linear_diffusion_is_powers_of_a_matrix(coupled):
    shape, tau, linear = (5, 7), 0.2, nonlinearity("whittaker-tikhonov")
    image, matrix = noise(*shape), dense(shape)
    step = torch.eye(35, dtype=torch.float64) - tau * matrix
    expected = (torch.linalg.matrix_power(step, 9) @ image.flatten()).reshape(shape)
    assert far(diffuse(image, linear, 9 * tau, 9, coupled=coupled), expected) < 1e-13


def test_one_row_of_the_dictionary_in_two_dimensions():
    entry, line = nonlinearity("garrote", 0.5), noise(40)
    stripes = line.expand(6, 40).contiguous()
    assert far(diffuse(stripes, entry, 2.0, 10), diffused(line, entry, 2.0, 10).expand(6, 40)) < 1e-13
    image, tau = noise(9, 11), 0.2
    both = diffusion_step(image, entry, tau) + diffusion_step(image.T, entry, tau).T - image
    assert far(diffuse(image, entry, tau, 1), both) < 1e-13


@pytest.mark.parametrize("coupled", [False, True])
def test_coupled_diffusion_does_not_see_a_quarter_turn_of_a_smooth_image(coupled):
    x, y = torch.meshgrid(*(torch.linspace(-3, 3, 96, dtype=torch.float64),) * 2, indexing="ij")
    turn = math.pi / 4
    entry, flow = nonlinearity("perona-malik-rational", 0.02), []
    for a in (0.0, turn):
        wave = torch.tanh(x * math.cos(a) + y * math.sin(a))
        flow.append((diffuse(wave, entry, 2.0, coupled=coupled) - wave)[20:-20, 20:-20].abs().max())
    assert (abs(float(flow[0] / flow[1]) - 1) < 0.05) == coupled


@pytest.mark.parametrize("name", TABLED)
@pytest.mark.parametrize("coupled", [False, True])
def test_ones_own_go_by_a_table_within_its_tolerance(name, coupled):
    entry, weights = TABLED[name](), torch.tensor([[1.0, 0.0, 0.2]]).repeat(10, 1)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        found = tabulated(entry, dtype)
        assert found is not None
        assert found.formula == "table"
        assert found.error <= tolerance
        image = torch.rand((30, 20), dtype=dtype, generator=generator(2))
        assert far(evolved(image, entry, weights, coupled), plain(image, entry, weights, coupled)) < 10 * tolerance


def test_a_table_knows_how_far_off_it_is():
    entry = TABLED["weickert"]()
    found = tabulated(entry, torch.float64)
    image = torch.zeros(2, 2001, dtype=torch.float64)
    image[:, ::2] = torch.logspace(-3, 0.5, 1001, dtype=torch.float64)
    step = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    gap = (evolved(image, entry, step, False) - plain(image, entry, step, False)).abs().max()
    assert 0 < float(gap) < 4 * found.error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_lies_outside_of_a_table_is_not_read(dtype):
    entry = from_diffusivity(lambda s: 1 / torch.cosh(s / 0.05))
    image = torch.rand(40, 40, dtype=dtype, generator=generator(0))
    image[5, 5], image[20, 20], image[35, 35] = math.nan, math.inf, 1e25
    after = diffuse(image, entry, 0.5, 2)
    assert not after[5, 5].isfinite()
    assert not after[20, 20].isfinite()
    touched = torch.zeros_like(image, dtype=torch.bool)
    for k in (5, 20, 35):
        touched[k - 2 : k + 3, k - 2 : k + 3] = True
    assert after[~touched].ge(0).all()
    assert after[~touched].le(1).all()


def test_what_no_table_describes_takes_the_plain_steps():
    stairs = from_activation(lambda s: torch.where(s.abs() < 0.3, s, torch.where(s.abs() < 0.8, 0.3 * s.sign(), 0.0)))
    assert tabulated(stairs, torch.float32) is None
    image, weights = noise(8, 9), torch.tensor([[1.0, 0.0, 0.2]]).repeat(4, 1)
    assert torch.equal(evolved(image, stairs, weights, False), plain(image, stairs, weights, False))
    share = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    trained = from_diffusivity(lambda s: 1 / (1 + share * s**2))
    (slope,) = torch.autograd.grad(evolved(image, trained, weights, False).square().sum(), share)
    assert float(slope) != 0.0


def test_a_function_that_changes_gets_a_new_table():
    share = [1.0]
    entry = from_diffusivity(lambda s: 1 / (1 + share[0] * s**2))
    image = noise(8, 9)
    before = diffuse(image, entry, 1.0)
    share[0] = 4.0
    assert far(diffuse(image, entry, 1.0), diffuse(image, nonlinearity("perona-malik-rational", 0.5), 1.0)) < 1e-8
    assert far(before, diffuse(image, nonlinearity("perona-malik-rational", 1.0), 1.0)) < 1e-8


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("scheme", ["explicit", "fsi", "du-fort-frankel"])
def test_derivatives_by_the_image_the_time_and_the_contrast(scheme, coupled):
    entry, image = nonlinearity("charbonnier", 0.7), noise(2, 6, 5).requires_grad_()
    time, contrast = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([2.0, 1.5], 0.8))

    def run(u, t, c):
        return diffuse(u, entry, t, 12, scheme=scheme, coupled=coupled, contrast=c)

    assert torch.autograd.gradcheck(run, (image, time, contrast))


def test_derivatives_by_every_weight():
    entry, image = nonlinearity("charbonnier", 0.7), noise(7, 6).requires_grad_()
    weights = fast_iterations(0.2)[:7].requires_grad_()
    slopes = [
        torch.autograd.grad(run(image, entry, weights, False).cos().sum(), (image, weights)) for run in (evolved, plain)
    ]
    assert all(far(one, other) < 1e-12 for one, other in zip(*slopes, strict=True))


def test_many_steps_back_are_those_of_plain_torch():
    entry, image = nonlinearity("charbonnier", 0.3), noise(40, 30).requires_grad_()
    weights = torch.tensor([[1.0, 0.0, 0.25]], dtype=torch.float64).repeat(37, 1)
    slopes = [torch.autograd.grad(run(image, entry, weights, True).cos().sum(), image)[0] for run in (evolved, plain)]
    assert far(*slopes) < 1e-12


@pytest.mark.parametrize("name", ["charbonnier", "perona-malik"])
def test_values_stay_in_range_up_to_the_bound_and_leave_it_beyond(name):
    entry = nonlinearity(name, 50.0)
    checks = (torch.arange(8)[:, None] + torch.arange(9)) % 2
    image = checks.double() + 1e-9 * noise(8, 9)
    at_bound = diffuse(image, entry, largest_step(entry), 1)
    assert at_bound.max() <= image.max()
    assert at_bound.min() >= image.min()
    beyond = evolved(image, entry, torch.tensor([[1.0, 0.0, 1.02 * largest_step(entry)]]), False)
    assert beyond.max() > image.max() + 0.01
    for seed in range(5):
        rough = noise(20, 20, seed=seed)
        for coupled in (False, True):
            end = diffuse(rough, nonlinearity(name, 0.5), 3.0, coupled=coupled)
            assert rough.min() <= end.min()
            assert end.max() <= rough.max()


@pytest.mark.parametrize("scheme", ["explicit", "fsi", "du-fort-frankel"])
def test_every_scheme_keeps_the_mean_and_ends_flat(scheme):
    entry, image = nonlinearity("charbonnier", 0.5), noise(3, 16, 12)
    some = diffuse(image, entry, 7.0, scheme=scheme)
    assert torch.allclose(some.mean((-2, -1)), image.mean((-2, -1)), atol=1e-13)
    assert float(some.var()) < 0.2 * float(image.var())
    flat = diffuse(image, entry, 3000.0, scheme=scheme)
    assert float((flat - flat.mean((-2, -1), keepdim=True)).abs().max()) < 1e-3


@pytest.mark.parametrize(("length", "reached"), [(5, 10.0), (10, 36.667), (20, 140.0), (40, 546.667)])
def test_a_cycle_of_fast_iterations_goes_far_and_amplifies_nothing(length, reached):
    assert cycle_time(length) == pytest.approx(reached, abs=1e-3)
    # Of linear diffusion: P_n(λ) for every eigenvalue of KᵀK, by dense matrices.
    shape, tau = (6, 8), 0.25
    linear, eigen = nonlinearity("whittaker-tikhonov"), torch.linalg.eigh(dense(shape))
    images = eigen.eigenvectors.T.reshape(-1, *shape)
    ends = diffuse(images, linear, tau * cycle_time(length), length, scheme="fsi", cycles=1)
    factors = (ends * images).sum((-2, -1))
    assert float(factors.abs().max()) <= 1 + 1e-9
    slow = eigen.eigenvalues.argsort()[1]
    small = 1e-6 / float(eigen.eigenvalues[slow])
    short = diffuse(images[slow], linear, tau * small * cycle_time(length), length, scheme="fsi", cycles=1)
    rate = float((1 - (short * images[slow]).sum()) / (eigen.eigenvalues[slow] * tau * small))
    assert rate == pytest.approx(reached, rel=1e-3)


def test_du_fort_and_frankel_is_stable_for_any_step_and_not_for_less_damping():
    linear, image = nonlinearity("whittaker-tikhonov"), noise(8, 8)
    assert float(diffuse(image, linear, 1e4, 200, scheme="du-fort-frankel").norm()) <= float(image.norm())
    tau, a = 50.0, 0.9 * 2.0
    less = torch.tensor([[4 * tau * a, 1 - 2 * tau * a, 2 * tau]], dtype=torch.float64) / (1 + 2 * tau * a)
    assert float(evolved(image, linear, less.repeat(200, 1), False).norm()) > 100 * float(image.norm())


@pytest.mark.parametrize("scheme", ["fsi", "du-fort-frankel"])
def test_fewer_steps_reach_nearly_the_same_image(scheme):
    cells = [
        Ellipse(1.0, (38.0, 22.0), (6.0, 10.0), 0.5),
        Ellipse(0.6, (15.0, 25.0), (-26.0, -12.0)),
        Ellipse(-0.5, (9.0, 9.0), (12.0, 14.0)),
    ]
    clean = torch.from_numpy(phantom(cells, Grid((128, 128), 1.0)))
    image, entry = clean + 0.05 * noise(128, 128), nonlinearity("perona-malik-rational", 0.1)
    many = diffuse(image, entry, 25.0, 100)
    few = diffuse(image, entry, 25.0, 24, scheme=scheme)
    assert float((few - many).norm() / many.norm()) < 2e-2  # noise counts: of photographs it is less (benchmarks)


def test_units_of_length_and_of_grey_values():
    entry, image = nonlinearity("perona-malik", 0.4), noise(12, 10)
    stretched = diffuse(1000 * image, entry, 2.0, contrast=1000.0)
    assert far(stretched, 1000 * diffuse(image, entry, 2.0)) < 1e-12
    fine = diffuse(image, nonlinearity("perona-malik", 0.4 / 0.5), 2.0 * 0.25, 8, spacing=0.5)
    assert far(fine, diffuse(image, entry, 2.0, 8)) < 1e-12
    times, contrasts = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 2.0])
    both = diffuse(torch.stack((image, image)), entry, times, 8, contrast=contrasts)
    for one, time, contrast in zip(both, times.tolist(), contrasts.tolist(), strict=True):
        assert far(one, diffuse(image, entry, time, 8, contrast=contrast)) < 1e-12


def test_steps_that_are_chosen_are_the_fewest_that_are_stable():
    entry, image = nonlinearity("soft", 0.3), noise(6, 6)
    assert torch.equal(diffuse(image, entry, 25.0), diffuse(image, entry, 25.0, 100))
    assert torch.equal(diffuse(image, entry, 25.0, scheme="fsi"), diffuse(image, entry, 25.0, 24, scheme="fsi"))
    with pytest.raises(InputError, match="24 steps or more of fsi"):
        diffuse(image, entry, 25.0, 22, scheme="fsi")
    steep = from_activation(lambda s: 3 * torch.tanh(s))
    assert largest_step(steep) == pytest.approx(1 / 12)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"image": torch.zeros(5)}, ShapeError, "(*batch, row, col)"),
        ({"image": torch.zeros(5, 5, dtype=torch.int32)}, InputError, "float32 or float64"),
        ({"steps": 3}, InputError, "8 steps or more of explicit"),
        ({"steps": 0}, InputError, "steps >= 1"),
        ({"time": -1.0}, InputError, "time > 0"),
        ({"time": torch.ones(3)}, ShapeError, "one time"),
        ({"contrast": 0.0}, InputError, "contrast > 0"),
        ({"spacing": 0.0}, InputError, "spacing > 0"),
        ({"scheme": "implicit"}, UnknownNameError, "implicit"),
        ({"cycles": 2}, InputError, "1 cycle of explicit"),
        ({"scheme": "fsi", "steps": 25, "cycles": 2}, InputError, "divide into 2 cycles"),
        ({"entry": nonlinearity("tv")}, InputError, "a bounded diffusivity"),
        ({"entry": "soft"}, InputError, "expected a nonlinearity, got 'soft'"),
    ],
)
def test_what_cannot_be_diffused_is_refused(change, error, told):
    given = {"image": torch.zeros(2, 5, 5), "entry": nonlinearity("soft"), "time": 2.0} | change
    with pytest.raises(error) as found:
        diffuse(given.pop("image"), given.pop("entry"), given.pop("time"), **given)
    assert told in str(found.value)
