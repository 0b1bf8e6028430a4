"""Run in a process of its own with NUMBA_ENABLE_CUDASIM=1: the CUDA kernels on numpy arrays, against the CPU's.

The custom operators are made to take their CUDA kernels for tensors on the CPU too, so that the operators and their
laws run on them as they would on a GPU. Prints one line a check; the last is "all" and their number.
"""

import sys

import numpy as np
import torch
from numba import cuda

from microlocal.core.registry import registered
from microlocal.kernels import joseph3d_cuda, joseph_cuda, pixel_driven, pixel_driven3d, pixel_driven_cuda
from microlocal.kernels.joseph3d import _rays_of_row
from microlocal.operators import rays, rays3d, rays_cuda
from microlocal.reconstruction.fbp import _index_table
from microlocal.reconstruction.fdk import panel_map
from microlocal.testing.laws import operator as laws

TOLERANCES = {torch.float64: 1e-13, torch.float32: 1e-5}
LAWS = (
    laws.forward_is_linear,
    laws.adjoint_matches_inner_product,
    laws.backward_is_the_adjoint,
    laws.batches_are_independent,
    laws.precision_is_kept,
    laws.nothing_is_modified,
)
done = []


class CheckError(Exception):
    """A check that fails."""


def check(name, passed):
    if not passed:
        raise CheckError(f"{name} fails")
    print(name, "holds", flush=True)
    done.append(name)


def draw(shape, dtype):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(len(done)))


def samples(name, first, last):
    every = registered("operator")[name].samples()
    return [ray for ray in every if getattr(ray, "method", "rays") == "rays"][first:last]


def close(got, expected):
    return float((got - expected).abs().max()) <= TOLERANCES[got.dtype] * float(expected.abs().max())


def on_cuda_kernels(switch):
    """Let the operators on the CPU take the kernels for CUDA from here on."""
    for op, kernel in (
        (rays.project, rays_cuda._project),
        (rays.backproject, rays_cuda._backproject),
        (rays3d.project, rays_cuda._project3d),
        (rays3d.backproject, rays_cuda._backproject3d),
    ):
        op.register_kernel("cpu")(kernel if switch else CPU[op])


CPU = {op: op._backend_fns["cpu"] for op in (rays.project, rays.backproject, rays3d.project, rays3d.backproject)}


def agreement(ray, dtype):
    x, y = draw((2, *ray.domain_shape), dtype), draw((2, *ray.codomain_shape), dtype)
    forward, back = ray(x), ray.adjoint(y)
    assert float(forward.abs().max()) > 1
    on_cuda_kernels(True)
    got, got_back = ray(x), ray.adjoint(y)
    on_cuda_kernels(False)
    name = f"{type(ray.geometry).__name__} {dtype}"
    check(f"{name} forward", close(got, forward))
    check(f"{name} adjoint", close(got_back, back))


def axes_agree(ray):
    """The axis of every ray is the one that the CPU's kernel takes, to the last tie."""
    _, rows, cols = ray.codomain_shape
    views, axes = ray.views.numpy(), joseph3d_cuda.main_axes(ray.views, ray.diverging, *ray.codomain_shape[1:]).numpy()
    for axis, order in enumerate(joseph3d_cuda.ORDERS):
        ordered = np.ascontiguousarray(views[:, :, order])
        for view, v in np.ndindex(len(views), rows):
            table, pixels = np.empty((5, cols)), np.empty(cols, np.int64)
            count = _rays_of_row(ordered[view], ray.diverging, axis, v, cols, table, pixels)
            same = pixels[:count].tolist() == np.flatnonzero(axes[view, v] == axis).tolist()
            check(f"axis {axis} of view {view}, row {v}", same)


@cuda.jit
def _swapped(sums, lines, offsets, slopes, lengths, chosen):
    """The adjoint with the two shares of a ray exchanged."""
    _, views, rays_ = sums.shape
    thread = cuda.grid(1)
    image, view, ray = thread // (views * rays_), thread // rays_ % views, thread % rays_
    if image >= sums.shape[0] or not chosen[view, ray]:
        return
    for r in range(lines.shape[1]):
        position = offsets[view, ray] + slopes[view, ray] * r
        if 0 < position < lines.shape[2] - 1:
            share = (position - int(position)) * sums[image, view, ray] * lengths[view, ray]
            cuda.atomic.add(lines, (image, r, int(position) + 1), sums[image, view, ray] * lengths[view, ray] - share)
            cuda.atomic.add(lines, (image, r, int(position)), share)


PROJECT, AXES = joseph_cuda.project, joseph3d_cuda.main_axes
MUTANTS = {
    "weights swapped": (joseph_cuda, "_spread_lines", _swapped),
    "lengths forgotten": (joseph_cuda, "project", lambda *a: PROJECT(*a[:4], torch.ones_like(a[4]))),
    "flat rays forgotten": (joseph_cuda, "project", lambda *a: PROJECT(*a[:4], a[4] * a[3])),
    "an axis forgotten": (joseph3d_cuda, "main_axes", lambda *a: AXES(*a).clamp(max=1)),
}


def break_kernels():
    """Replace one part of the kernels after the other by a wrong one: the checks must find it."""
    for name, (module, attribute, wrong) in MUTANTS.items():
        right = getattr(module, attribute)
        setattr(module, attribute, wrong)
        try:
            agreements()
        except CheckError as error:
            print(name, "is caught:", error)
        else:
            sys.exit(f"{name} is not caught")
        setattr(module, attribute, right)


def agreements():
    for name in ("ray-transform", "ray-transform-3d"):
        for ray in samples(name, 0, None):
            for dtype in TOLERANCES:
                agreement(ray, dtype)
    for ray in samples("ray-transform-3d", 0, None):
        axes_agree(ray)


def backprojections():
    """Pixel-driven sums: by the tables that filtered backprojection makes."""
    for ray in samples("ray-transform", 0, None):
        for dtype in TOLERANCES:
            y = draw((2, *ray.codomain_shape), dtype)
            table, steps = _index_table(ray.geometry, ray.grid), np.linspace(0.1, 0.2, len(y[0]))
            for power in (0, 2):
                expected = pixel_driven.accumulate(y.numpy(), table, steps, power, ray.grid.shape)
                got = pixel_driven_cuda.accumulate(y, table, steps, power, ray.grid.shape)
                check(f"pixel-driven {dtype}", close(got, torch.from_numpy(expected)))
    for ray in samples("ray-transform-3d", 0, 2):
        for dtype in TOLERANCES:
            y, steps = draw((2, *ray.codomain_shape), dtype), np.linspace(0.1, 0.2, ray.codomain_shape[0])
            table = panel_map(ray.geometry, ray.grid)
            for power in (0, 2):
                expected, got = (torch.ones(2, *ray.domain_shape, dtype=dtype) for _ in range(2))
                pixel_driven3d.accumulate(y.numpy(), table, steps, power, expected.numpy())
                pixel_driven_cuda.accumulate3d(y, table, steps, power, got)
                assert float((expected - 1).abs().max()) > 0.1
                check(f"voxel-driven {dtype}", close(got, expected))


def hold_laws():
    on_cuda_kernels(True)
    for ray in samples("ray-transform", 1, 4) + samples("ray-transform-3d", 0, 2):
        for law in LAWS:
            law(ray)
            check(f"{type(ray).__name__} {law.__name__}", True)


def main():
    agreements()
    table = torch.ones(2, 5)
    empty = joseph_cuda.project(torch.zeros(0, 3, 4), table, table, table > 0, table)
    check("an empty batch", tuple(empty.shape) == (0, 2, 5))
    backprojections()
    break_kernels()
    hold_laws()
    print("all", len(done))


if __name__ == "__main__":
    main()
