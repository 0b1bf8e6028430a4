"""The CUDA kernels: in numba's simulator everywhere, on a GPU where there is one."""

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from microlocal.core.errors import InputError
from microlocal.core.registry import registered
from microlocal.core.seeding import generator
from microlocal.members import load_all
from microlocal.operators import rays_cuda
from microlocal.operators.spaces import draw, in_codomain, in_domain
from microlocal.reconstruction import fbp_volume, fdk
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.testing.suite import cases

load_all()
NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None
NAMES = [("operator", name) for name in registered("operator")] + [("frame", name) for name in registered("frame")]
# What calls a library of the CPU copies to and fro; everything else must stay where its input is.
ON_THE_HOST = {"circular-means", "matrix-free", "non-uniform-fourier", "photoacoustic", "toeplitz"}


@pytest.mark.skipif(not NUMBA_CUDA, reason="numba-cuda is not installed")
def test_kernels_in_the_simulator():
    script = Path(__file__).with_name("cuda_simulated.py")
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert sum("is caught" in line for line in lines) == 4
    assert lines[-1].startswith("all ")
    assert sum("holds" in line for line in lines) == int(lines[-1].split()[1]) > 60


def test_nothing_of_cuda_is_loaded_before_it_is_needed():
    code = (
        "import sys, microlocal.operators; print(*[m for m in sys.modules if 'numba_cuda' in m or m[-5:] == '_cuda'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"_numba_cuda_redirector"} == {"microlocal.operators.rays_cuda"}


def test_kernels_are_registered_for_cuda():
    for name in ("project", "backproject", "project3d", "backproject3d"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"microlocal::{name}", "CUDA")


def test_without_numba_cuda_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    table = torch.ones(1, 2)
    with pytest.raises(InputError, match=r"RayTransform\.forward: .*pip install 'microlocal\[cuda\]'"):
        rays_cuda._project(torch.ones(1, 3, 3), table, table, table > 0, table, [])
    with pytest.raises(InputError, match=r"RayTransform3D\.adjoint: .*pip install 'microlocal\[cuda\]'"):
        rays_cuda._backproject3d(torch.ones(1, 1, 2, 2), torch.ones(1, 4, 3), False, 2, 2, 2)


def test_deterministic_mode_refuses_atomic_sums():
    table = torch.ones(1, 2)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(InputError, match="Compute on the CPU"):
            rays_cuda._backproject(torch.ones(1, 1, 2), table, table, table > 0, table, [], 3, 3)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("kind", "name"), [pair for pair in NAMES if pair[1] not in ON_THE_HOST])
def test_operators_and_frames_stay_on_the_device_of_their_input(kind, name):
    # The "meta" device has no memory, so that nothing can be fetched from it, and refuses to mix with the CPU.
    for operator in registered(kind)[name].samples():
        if getattr(operator, "method", "rays") != "rays" or getattr(operator, "sparse", False):
            continue  # Fourier sums are computed on the CPU; sparse tables are not known on "meta"
        moved = operator.to("meta")
        x = torch.empty(2, *operator.domain_shape, dtype=in_domain(operator), device="meta")
        y = torch.empty(2, *operator.codomain_shape, dtype=in_codomain(operator), device="meta")
        for got, expected in ((moved(x), y), (moved.adjoint(y), x)):
            assert (got.device, got.shape, got.dtype) == (expected.device, expected.shape, expected.dtype)


def test_filtered_backprojection_stays_on_the_device_of_its_data(monkeypatch):
    planar = [ray for ray in registered("operator")["ray-transform"].samples() if ray.method == "rays"]
    volumes = registered("operator")["ray-transform-3d"].samples()[:2]

    class Sums:
        @staticmethod
        def accumulate(data, views, weights, power, shape):
            del views, weights, power
            return data.new_empty((len(data), *shape))

        @staticmethod
        def accumulate3d(data, views, weights, power, volumes):
            del views, weights, power
            assert data.device == volumes.device

    for name in ("fbp", "fdk"):
        module = sys.modules[f"microlocal.reconstruction.{name}"]
        monkeypatch.setattr(module, "cuda_kernels", lambda name, who: Sums)
    calls = [(ray, filtered_backprojection) for ray in planar] + list(zip(volumes, (fdk, fbp_volume), strict=True))
    for ray, method in calls:
        data = torch.empty(2, *ray.codomain_shape, device="meta")
        image = method(data, ray.geometry, ray.grid)
        assert (image.device, image.dtype, image.shape) == (data.device, data.dtype, (2, *ray.domain_shape))


GPU = pytest.mark.skipif(not (torch.cuda.is_available() and NUMBA_CUDA), reason="no CUDA device, or no numba-cuda")
RAYS = [
    pytest.param(sample, law, id=f"{name}-{law.__name__}")
    for _, name, sample, law in cases()
    if name in ("ray-transform", "ray-transform-3d")
]


@GPU
@pytest.mark.parametrize(("ray", "law"), RAYS)
def test_laws_on_a_gpu(ray, law):
    law(ray.to("cuda"))


@GPU
@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_gpu_agrees_with_the_cpu(kind, name, precision):
    for operator in registered(kind)[name].samples():
        x, y = (draw(a, generator(1), precision, (2,)) for a in (operator, operator.H))
        forward, back = operator(x), operator.adjoint(y)
        moved = operator.to("cuda")
        for got, expected in ((moved(x.cuda()), forward), (moved.adjoint(y.cuda()), back)):
            allowed = (5e-5 if precision == torch.float32 else 1e-11) * float(expected.abs().max())
            assert got.device.type == "cuda"
            assert float((got.cpu() - expected).abs().max()) <= allowed


@GPU
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_filtered_backprojection_on_a_gpu_agrees_with_the_cpu(precision):
    planar = [(ray, filtered_backprojection) for ray in registered("operator")["ray-transform"].samples()]
    volumes = registered("operator")["ray-transform-3d"].samples()[:2]
    for ray, method in planar + list(zip(volumes, (fdk, fbp_volume), strict=True)):
        data = draw(ray.H, generator(4), precision)
        expected, got = method(data, ray.geometry, ray.grid), method(data.cuda(), ray.geometry, ray.grid)
        assert got.device.type == "cuda"
        allowed = (5e-5 if precision == torch.float32 else 1e-11) * float(expected.abs().max())
        assert float((got.cpu() - expected).abs().max()) <= allowed


@GPU
@pytest.mark.parametrize("name", ["ray-transform", "ray-transform-3d"])
def test_gradcheck_on_a_gpu(name):
    ray = registered("operator")[name].samples()[0].to("cuda")
    x = draw(ray, generator(2)).requires_grad_()
    # Atomic sums differ by rounding from one backward pass to the next.
    assert torch.autograd.gradcheck(ray, x, fast_mode=True, nondet_tol=1e-10)


@GPU
def test_kernels_run_on_the_current_stream():
    # The image is written late on a stream of its own: a kernel on any other would see zeros.
    ray = registered("operator")["ray-transform"].samples()[0].to("cuda")
    expected = ray(torch.ones(ray.domain_shape, device="cuda"))
    image = torch.zeros(ray.domain_shape, device="cuda")
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        image.fill_(1.0)
        got = ray(image)
    stream.synchronize()
    assert torch.equal(got, expected)


@GPU
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU only")
def test_kernels_run_on_the_device_of_their_tensors():
    ray = registered("operator")["ray-transform"].samples()[0]
    x = draw(ray, generator(3))
    expected = ray(x)
    for device in ("cuda:1", "cuda:0"):
        got = ray.to(device)(x.to(device))
        assert got.device == torch.device(device)
        assert math.isclose(float((got.cpu() - expected).abs().max()), 0, abs_tol=1e-12)
