"""The vector kernels against the plain ones, for detectors of any pitch; ordered subsets; one thread setting."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, ParallelBeam
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.volume import VolumeGrid
from microlocal.kernels import joseph, joseph_lanes, joseph_stack, lanes
from microlocal.kernels.ray_plan import plan
from microlocal.kernels.scratch import KEPT, scratch
from microlocal.operators import RayTransform, RayTransform3D, ViewSubset, rays
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_checks import check_plane
from microlocal.operators.subsets import OrderedSubsets

ANGLES = tuple(math.radians(a) for a in (0.0, 20.0, 45.0, 90.0, 123.0, 200.0, 311.0))
GRID = Grid((37, 50), 1.0, center=(0.4, -0.3))


def _fan(pitch: float, shape: str = "flat") -> FanBeam:
    return FanBeam(ANGLES, Detector(int(120 / pitch), pitch, offset=0.3), "mm", 300.0, 500.0, shape)


GEOMETRIES = {
    "parallel": ParallelBeam(ANGLES, Detector(61, 1.0)),
    "fine": ParallelBeam(ANGLES, Detector(400, 0.15)),
    "coarse": ParallelBeam(ANGLES, Detector(12, 5.3, reversed=True)),
    "one ray": ParallelBeam(ANGLES, Detector(1, 1.0)),
    "fan": _fan(1.6),
    "fine fan": _fan(0.4),
    "coarse fan": _fan(7.0),
    "arc": _fan(1.5, "arc"),
}
CASES = [(name, dtype) for name in GEOMETRIES for dtype in (np.float32, np.float64)]


def _case(name, dtype, count):
    offsets, slopes, steep, lengths = rays.ray_table(GEOMETRIES[name], GRID)
    planned = plan(offsets, slopes, steep, lengths, GRID.shape, dtype)
    assert planned is not None
    random = np.random.default_rng(0)
    images = random.standard_normal((count, *GRID.shape))
    sums = random.standard_normal((count, *steep.shape))
    forward = joseph.project(images, offsets, slopes, steep) * lengths
    back = joseph.backproject(sums * lengths, offsets, slopes, steep, GRID.shape)
    return planned, images.astype(dtype), sums.astype(dtype), forward, back


def _check(kernel, case, dtype):
    planned, images, sums, forward, back = case
    tolerance = 3e-5 if dtype == np.float32 else 1e-12
    got = kernel.project(images, planned, sums.shape[1:])
    assert np.abs(got - forward).max() <= tolerance * np.abs(forward).max()
    got = kernel.backproject(sums, planned, images.shape[1:])
    assert np.abs(got - back).max() <= tolerance * np.abs(back).max()


@pytest.mark.skipif(not lanes.AVAILABLE, reason="this processor has no AVX-512")
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_registers_agree_with_the_plain_kernel(name, dtype):
    _check(joseph_lanes, _case(name, dtype, 2), dtype)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_stacks_agree_with_the_plain_kernel(name, dtype):
    _check(joseph_stack, _case(name, dtype, 11), dtype)


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("count", [1, 3, 17, 28])
def test_every_batch_and_processor_gives_the_same(monkeypatch, available, count):
    monkeypatch.setattr(lanes, "AVAILABLE", available and lanes.AVAILABLE)
    ray = RayTransform(GEOMETRIES["fan"], GRID)
    x = torch.randn(count, *GRID.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y, back = ray(x), ray.adjoint(ray(x))
    for i in (0, count - 1):
        assert float((ray(x[i]) - y[i]).abs().max()) < 1e-11
        assert float((ray.adjoint(y[i]) - back[i]).abs().max()) < 1e-9


@pytest.mark.skipif(not lanes.AVAILABLE, reason="this processor has no AVX-512")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_slice_is_the_same_to_the_bit_whatever_is_beside_it(dtype):
    ray = RayTransform(FanBeam(ANGLES, Detector(70, 1.6), "mm", 300.0, 500.0), Grid((70, 65), 1.0))
    x = torch.randn(15, *ray.domain_shape, dtype=dtype, generator=torch.Generator().manual_seed(7))
    y = torch.randn(15, *ray.codomain_shape, dtype=dtype, generator=torch.Generator().manual_seed(8))
    forward, back = ray(x), ray.adjoint(y)
    for i in range(15):
        assert torch.equal(forward[i], ray(x[i]))
        assert torch.equal(back[i], ray.adjoint(y[i]))


def test_crossing_rays_are_left_to_the_plain_kernel():
    # The source lies inside the grid, where the order of the rays turns round.
    inside = FanBeam(ANGLES, Detector(40, 1.0), source_axis=10.0, source_detector=60.0)
    grid = Grid((64, 64), 1.0)
    assert rays.planned(inside, grid, torch.float64) == []


class _Blurred(LinearOperator):
    """Any operator with views that knows no geometry."""

    def __init__(self, ray):
        super().__init__(ray.domain_shape, ray.codomain_shape)
        self.ray = ray

    def _forward(self, x):
        return 2 * self.ray._forward(x)

    def _adjoint(self, y):
        return 2 * self.ray._adjoint(y)

    def norm_bound(self):
        return 2 * self.ray.norm_bound()


@pytest.mark.parametrize("count", [1, 3, 7])
@pytest.mark.parametrize("build", [lambda ray: ray, _Blurred])
def test_subsets_add_up_to_the_operator(build, count):
    operator = build(RayTransform(GEOMETRIES["fan"], GRID))
    subsets = OrderedSubsets(operator, count)
    x = torch.randn(2, *GRID.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    total = sum(subset.adjoint(subset(x)) for _, subset in subsets)
    whole = operator.adjoint(operator(x))
    assert float((total - whole).abs().max()) <= 1e-12 * float(whole.abs().max())
    parts = subsets.split(operator(x))
    for i, subset in subsets:
        assert torch.allclose(parts[i], subset(x), rtol=0, atol=1e-11)
        assert float(torch.linalg.vector_norm(subset(x[0]))) <= subset.norm_bound() * float(torch.linalg.norm(x[0]))
    assert bool((subsets.join(parts) == operator(x)).all())
    assert sorted(i for i, _ in subsets) == list(range(count))


CONE = ConeBeam(ANGLES, FlatPanel(5, 6, (1.5, 1.5)), source_axis=20.0, source_detector=30.0)


@pytest.mark.parametrize("geometry", [CONE, CONE.to_vectors()], ids=["cone", "vectors"])
def test_subsets_of_a_volume_are_operators_of_their_own_views(geometry):
    """Each projects its views only, and its bound is its own: that of the whole would be about √3 times as large."""
    operator = RayTransform3D(geometry, VolumeGrid((4, 5, 6), 1.0))
    subsets = OrderedSubsets(operator, 3)
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    for part, subset in zip(subsets.split(operator(x)), subsets.subsets, strict=True):
        assert isinstance(subset, RayTransform3D)
        assert torch.equal(subset(x), part)
        assert subset.norm_bound() < 0.75 * operator.norm_bound()


@pytest.mark.parametrize("views", [[], [0, 0], [-1], [7], [0.5]])
def test_views_that_are_not_there_or_come_twice_are_refused(views):
    with pytest.raises(InputError, match="ViewSubset: expected"):
        ViewSubset(RayTransform(GEOMETRIES["fan"], GRID), views)


def test_data_of_other_views_are_refused():
    subsets = OrderedSubsets(RayTransform(GEOMETRIES["fan"], GRID), 3)
    detector = subsets.operator.codomain_shape[1]
    with pytest.raises(ShapeError, match=r"OrderedSubsets.split: expected \(\*batch, 7, "):
        subsets.split(torch.zeros(5, detector))
    parts = subsets.split(torch.zeros(7, detector))
    for wrong in (parts[:2], [parts[1], *parts[1:]]):
        with pytest.raises(ShapeError, match=r"OrderedSubsets\.join: expected"):
            subsets.join(wrong)


@pytest.mark.parametrize("count", [0, 8])
def test_an_impossible_number_of_subsets_is_refused(count):
    with pytest.raises(InputError, match="1 to the number of views, 7"):
        OrderedSubsets(RayTransform(GEOMETRIES["fan"], GRID), count)


WORKER = """
import numba, torch
from microlocal.kernels.threads import threads_allowed, threads_for

class Data(torch.utils.data.Dataset):
    def __len__(self): return 1
    def __getitem__(self, i):
        with threads_for(10**9):
            return threads_allowed(), numba.get_num_threads()

if __name__ == "__main__":
    with threads_for(10**9):
        print(threads_allowed(), numba.get_num_threads())
    loader = torch.utils.data.DataLoader(Data(), num_workers=1, multiprocessing_context="fork")
    print(*(int(n) for n in next(iter(loader))))
    torch.set_num_threads(1)
    print(threads_allowed())
"""


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_threads_are_set_in_one_place(tmp_path, variable):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    others = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, str(script)], env=others | {variable: "2"}, capture_output=True, text=True, check=True
    )
    main, worker, after = done.stdout.split("\n")[:3]
    most = min(2, os.cpu_count() or 1)
    assert main == f"{most} {most}"
    assert worker == "1 1"
    assert after == "1"


def _random_fan(random):
    """A fan whose source may stand close to the grid, rays far apart or crowded, a grid off the axis: or None."""
    shape = (int(random.integers(5, 80)), int(random.choice([1, 8, 17, 33, 50, 74])))
    source = random.uniform(0.75, 3) * max(shape)
    detector = Detector(int(random.integers(1, 120)), random.uniform(0.2, 6), offset=random.normal() * 10)
    angles = tuple(random.uniform(0, 7, 3))
    kind = str(random.choice(["flat", "arc"]))
    try:
        fan = FanBeam(angles, detector, "mm", source, source * random.uniform(1.1, 4), kind)
        grid = Grid(shape, 1.0, center=(random.normal(), random.normal()))
        check_plane(fan, grid, "")
    except InputError:  # an arc beyond a right angle, a source in the grid
        return None
    return fan, grid


def test_any_fan_agrees_with_the_plain_kernel():
    random, planned_ones = np.random.default_rng(5), 0
    for _ in range(150):
        case = _random_fan(random)
        if case is None:
            continue
        fan, grid = case
        offsets, slopes, steep, lengths = rays.ray_table(fan, grid)
        for dtype, tolerance in ((torch.float32, 4e-4), (torch.float64, 1e-10)):
            planned_ones += bool(rays.planned(fan, grid, dtype))
            sums = random.random((1, *fan.shape))
            exact = joseph.backproject(sums * lengths, offsets, slopes, steep, grid.shape)
            gap = np.abs(RayTransform(fan, grid).adjoint(torch.from_numpy(sums).to(dtype)).numpy() - exact).max()
            assert gap <= tolerance * max(exact.max(), 1e-9), (fan, grid, dtype)
    assert planned_ones > 100


def test_stacks_of_any_number_of_slices_agree_with_the_plain_kernel():
    random, compared = np.random.default_rng(6), 0
    for _ in range(12):
        case = _random_fan(random)
        if case is None:
            continue
        fan, grid = case
        offsets, slopes, steep, lengths = rays.ray_table(fan, grid)
        count = int(random.integers(1, 41))
        images, sums = random.standard_normal((count, *grid.shape)), random.standard_normal((count, *fan.shape))
        forward = joseph.project(images, offsets, slopes, steep) * lengths
        back = joseph.backproject(sums * lengths, offsets, slopes, steep, grid.shape)
        for dtype in (np.float32, np.float64):
            planned = plan(offsets, slopes, steep, lengths, grid.shape, dtype)
            if planned is not None:
                compared += 1
                _check(joseph_stack, (planned, images.astype(dtype), sums.astype(dtype), forward, back), dtype)
    assert compared > 10


def test_the_last_register_of_a_row_stays_in_its_row():
    beam, grid = ParallelBeam(ANGLES, Detector(200, 0.3192)), Grid((17, 64), 1.0)
    tables = rays.ray_table(beam, grid)
    planned = plan(*tables, grid.shape, np.float64)
    sums = np.random.default_rng(0).random((2, *beam.shape))
    exact = joseph.backproject(sums * tables[3], *tables[:3], grid.shape)
    np.testing.assert_allclose(joseph_lanes.backproject(sums, planned, grid.shape), exact, atol=1e-11)


def test_a_detector_that_sees_nothing_measures_zeros():
    ray = RayTransform(ParallelBeam((0.1,), Detector(4, 1.0, offset=1e6)), Grid((8, 8), 1.0), "rays")
    assert not ray(torch.ones(8, 8)).any()
    assert not ray.adjoint(torch.ones(1, 4)).any()


def test_what_kernels_keep_between_calls_is_nobodys():
    """Two threads, images of several sizes: each result is what a call by itself gives."""
    rays_of = [RayTransform(GEOMETRIES["fan"], Grid((side, side + 3), 1.0)) for side in (31, 37, 48)]
    draw = torch.Generator().manual_seed(0)
    images = [torch.rand(k + 1, *ray.domain_shape, generator=draw) for k, ray in enumerate(rays_of)]
    alone = [(ray(x), ray.adjoint(ray(x))) for ray, x in zip(rays_of, images, strict=True)]

    def again(k):
        ray, x = rays_of[k % 3], images[k % 3]
        return torch.equal(ray(x), alone[k % 3][0]) and torch.equal(ray.adjoint(alone[k % 3][0]), alone[k % 3][1])

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(again, range(30)))


def test_only_small_pieces_are_kept():
    one, other = (scratch("test", (3, 5), np.dtype(np.float32)) for _ in range(2))
    assert one.ctypes.data == other.ctypes.data
    assert one.ctypes.data % lanes.LINE == 0
    large = (KEPT // 4 + 1,)
    assert scratch("test", large, np.dtype(np.float32)).size == large[0]
    assert scratch("test", (3, 5), np.dtype(np.float32)).ctypes.data == one.ctypes.data


@pytest.mark.parametrize(("source", "tall"), [(8.0, 16), (2.0, 16), (1.5, 16)])
def test_near_a_source_corners_stay_far_apart_where_rows_are_not_what_bends(source, tall):
    """Rays that fan out leave an error along a row, which corners in every row do not make smaller, but slower."""
    fan = FanBeam(ANGLES, Detector(160, 2.0), "mm", source * 128, 2 * source * 128)
    grid = Grid((128, 128), 1.0)
    planned = plan(*rays.ray_table(fan, grid), grid.shape, np.float32)
    assert planned is not None
    assert planned.tall.tolist() == [tall]
