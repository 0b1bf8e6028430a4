"""The Fourier-slice projector beyond its laws: term by term sums, closed forms, copies, threads."""

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from microlocal.certificates.operators import certify_norm
from microlocal.core import Detector, FanBeam, Grid, InputError, ParallelBeam
from microlocal.core.registry import registered
from microlocal.data import phantoms
from microlocal.kernels.nufft import RealNonUniformFourier
from microlocal.operators import NonUniformFourier, RayTransform
from microlocal.operators.fourier_slice import shadow_overhang

SAMPLES = [ray for ray in registered("operator")["ray-transform"].samples() if ray.method == "fourier"]


def _draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def _dense(ray):
    count = math.prod(ray.domain_shape)
    return ray(torch.eye(count, dtype=torch.float64).reshape(count, *ray.domain_shape)).reshape(count, -1).T


@pytest.mark.parametrize("ray", SAMPLES)
def test_projector_agrees_with_sums_term_by_term(ray):
    x = _draw(2, *ray.domain_shape)
    expected = ray.slices.project_directly(x)
    scale = float(expected.abs().max())
    assert float((ray(x) - expected).abs().max()) < 1e-11 * scale
    assert float((ray(x.float()) - expected).abs().max()) < 2e-5 * scale


@pytest.mark.parametrize("shape", [(8, 8), (1, 3), (33, 40)])
@pytest.mark.parametrize(("tolerance", "reached"), [(None, 1e-11), (1e-3, 2e-3), (1e-6, 2e-6)])
def test_sums_reach_their_tolerance_and_no_more_is_spent(shape, tolerance, reached):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-4, 4, 300), rng.uniform(-9, 9, 300)
    image, values = rng.standard_normal(shape), rng.standard_normal(300) + 1j * rng.standard_normal(300)
    rows, cols = (np.arange(n) - n // 2 for n in shape)
    matrix = np.exp(-1j * (a[:, None, None] * rows[:, None] + b[:, None, None] * cols)).reshape(300, -1)
    sums = RealNonUniformFourier(shape, a, b, tolerance)
    exact = matrix @ image.ravel()
    error = np.linalg.norm(sums.forward(image) - exact) / np.linalg.norm(exact)
    assert error < reached
    assert tolerance is None or error > 1e-3 * tolerance
    back = (matrix.conj().T @ values).real.reshape(shape)
    assert np.linalg.norm(sums.adjoint(values.copy()) - back) < reached * np.linalg.norm(back)
    assert np.abs(sums.directly(image) - exact).max() < 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize("ray", SAMPLES)
def test_gradcheck(ray):
    x = _draw(1, *ray.domain_shape).requires_grad_()
    assert torch.autograd.gradcheck(ray, x)
    assert torch.autograd.gradgradcheck(ray, x)


def test_angles_of_a_full_turn_repeat_the_half_turn_reversed():
    half = np.linspace(0, math.pi, 7, endpoint=False)
    detector = Detector(13, 0.9)
    ray = RayTransform(ParallelBeam((*half, *(half + math.pi)), detector), Grid((8, 7), 1.0), "fourier")
    data = ray(_draw(8, 7))
    assert torch.allclose(data[7:], data[:7].flip(1), atol=1e-11)


def test_offset_and_reversal_move_and_flip_the_data():
    angles, grid = (0.2, 1.1, 2.9), Grid((9, 8), 1.0)
    x = _draw(9, 8)
    plain = RayTransform(ParallelBeam(angles, Detector(20, 1.0)), grid, "fourier")(x)
    moved = RayTransform(ParallelBeam(angles, Detector(20, 1.0, 2.0)), grid, "fourier")(x)
    assert torch.allclose(moved[:, :18], plain[:, 2:], atol=1e-11)
    flipped = RayTransform(ParallelBeam(angles, Detector(20, 1.0, reversed=True)), grid, "fourier")(x)
    assert torch.allclose(flipped, plain.flip(1), atol=1e-11)


def _error(method, shapes, count, pitch, n=256):
    geometry = ParallelBeam(tuple(np.arange(30) * math.pi / 30 + 0.01), Detector(count, pitch * 2 / n))
    grid = Grid((n, n), 2.0 / n)
    exact = phantoms.sinogram(shapes, geometry)
    image = torch.from_numpy(phantoms.image(shapes, grid))
    made = RayTransform(geometry, grid, method)(image).numpy()
    return float(np.linalg.norm(made - exact) / np.linalg.norm(exact))


DISC = [phantoms.Ellipse(1.0, (0.5, 0.5), (0.2, -0.1), 0.0)]
ELLIPSE = [phantoms.Ellipse(1.0, (0.6, 0.35), (0.1, 0.15), math.radians(30))]


@pytest.mark.parametrize(("count", "pitch"), [(256, 1.0), (384, 1.0), (320, 0.8), (150, 1.8), (128, 2.0)])
@pytest.mark.parametrize("shapes", [DISC, ELLIPSE], ids=["disc", "ellipse"])
def test_ellipses_are_met_as_well_as_by_rays(shapes, count, pitch):
    error = _error("fourier", shapes, count, pitch)
    assert error <= 0.0044
    assert error <= 1.02 * _error("rays", shapes, count, pitch)


def test_order_of_convergence_on_a_smooth_bump():
    smooth = [phantoms.Ellipse(1.0, (0.8, 0.6), (0.05, -0.1), 0.4, power=3)]
    errors = {n: _error("fourier", smooth, n, 1.1, n) for n in (32, 64, 128)}
    assert math.log2(errors[32] / errors[128]) / 2 == pytest.approx(2.0, abs=0.3)


def test_copies_of_a_periodic_shadow_stay_off_a_short_detector():
    """A detector shorter than the shadow sees what a long one sees there, but for the ends of the series' tails."""
    angles, grid = tuple(np.arange(12) * math.pi / 12), Grid((64, 64), 1.0)
    image = torch.from_numpy(phantoms.image([phantoms.Ellipse(1.0, (24.0, 18.0), (0.0, 4.0), 0.3)], grid))
    short = RayTransform(ParallelBeam(angles, Detector(64, 1.0)), grid, "fourier")
    long = RayTransform(ParallelBeam(angles, Detector(128, 1.0)), grid, "fourier")
    assert shadow_overhang(short.geometry, grid) > 0 > shadow_overhang(long.geometry, grid)
    seen = long(image)[:, 32:96]
    assert float((short(image) - seen).norm() / seen.norm()) < 1e-3


def test_copies_and_pickles_work_and_leave_the_plans_behind():
    ray = SAMPLES[0]
    x = _draw(*ray.domain_shape)
    expected = ray(x)
    for other in (copy.deepcopy(ray), pickle.loads(pickle.dumps(ray))):  # noqa: S301 - our own bytes
        assert other.slices.sums._setups == {}
        assert bool((other(x) == expected).all())


def test_several_threads_may_share_a_projector_and_their_number_changes_rounding_only():
    geometry = ParallelBeam(tuple(np.arange(90) * math.pi / 90), Detector(128, 1.0))
    ray = RayTransform(geometry, Grid((128, 128), 1.0), "fourier")
    images = _draw(8, 128, 128, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone, back = ray(images), ray.adjoint(ray(images))
        torch.set_num_threads(2)
        together, back2 = ray(images), ray.adjoint(ray(images))
    finally:
        torch.set_num_threads(before)
    assert float((together - alone).abs().max()) < 1e-5 * float(alone.abs().max())
    assert float((back2 - back).abs().max()) < 1e-5 * float(back.abs().max())
    expected = ray(images)
    with ThreadPoolExecutor(4) as pool:
        assert bool((torch.stack(list(pool.map(ray, images))) == expected).all())


@pytest.mark.parametrize("ray", SAMPLES)
def test_norm_bounds_enclose_the_norm_closely(ray):
    norm = float(torch.linalg.matrix_norm(_dense(ray), 2))
    lower, upper = ray.norm_bounds()
    assert lower <= norm * (1 + 1e-12)
    assert norm <= upper
    # A coarse detector keeps one sample in q = 2, and the bound knows nothing of that.
    assert upper <= (1.03 if ray.slices.finer == 1 else 1.5) * norm
    certificate = certify_norm(ray)
    assert certificate.holds
    assert certificate.falsify(0) <= certificate.bound


def test_the_method_is_chosen_by_size_and_other_beams_are_refused():
    grid, angles = Grid((512, 512), 1.0), tuple(np.arange(360) * math.pi / 360)
    assert RayTransform(ParallelBeam(angles, Detector(512, 1.0)), grid).method == "fourier"
    assert RayTransform(ParallelBeam(angles, Detector(256, 2.0)), grid).method == "rays"
    assert RayTransform(ParallelBeam(angles[::90], Detector(512, 1.0)), grid).method == "rays"
    fan = FanBeam(angles[:3], Detector(8, 1.0), source_axis=20.0, source_detector=30.0)
    with pytest.raises(InputError, match="a parallel beam"):
        RayTransform(fan, Grid((8, 8), 1.0), "fourier")
    with pytest.raises(InputError, match="one of"):
        RayTransform(fan, Grid((8, 8), 1.0), "radon")


@pytest.mark.parametrize("method", ["rays", "fourier"])
def test_compiles_with_graph_breaks(method):
    ray = RayTransform(SAMPLES[0].geometry, SAMPLES[0].grid, method)
    x = _draw(*ray.domain_shape)
    compiled = torch.compile(lambda image: 2 * ray(image), backend="eager")
    assert torch.allclose(compiled(x), 2 * ray(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tolerance_beyond_the_precision_is_met_as_far_as_it_goes_and_quietly(dtype, capfd, recwarn):
    projector = RayTransform(SAMPLES[0].geometry, Grid((12, 15), 1.0), "fourier", tolerance=1e-12)
    image = _draw(12, 15, dtype=dtype)
    exact = projector.slices.project_directly(image[None].double())[0]
    reached = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    assert float((projector(image).double() - exact).norm()) <= reached * float(exact.norm())
    assert float(projector(image).norm() / image.norm()) <= projector.norm_bound()
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("tolerance", [0.0, -1e-3, 1e-13, 0.5, math.nan])
def test_a_tolerance_that_no_sum_can_meet_is_refused(tolerance):
    for make in (
        lambda: RayTransform(SAMPLES[0].geometry, SAMPLES[0].grid, "fourier", tolerance=tolerance),
        lambda: NonUniformFourier(torch.zeros(3, 2), (4, 4), tolerance=tolerance),
    ):
        with pytest.raises(InputError, match=r"expected tolerance from 1e-12 to 0.1, got tolerance = .*Leave it out"):
            make()
