"""The ray kernels for CUDA tensors: the same custom operators of torch, on numba's CUDA kernels.

Loaded when the first CUDA tensor comes; raises InputError where numba-cuda is not installed. In deterministic mode
(``torch.use_deterministic_algorithms``) the adjoints refuse, as torch's own atomic sums do.
"""

import torch
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.kernels.cuda_kernels import cuda_kernels
from microlocal.operators import rays, rays3d


def _any_order(who: str) -> None:
    strict = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    if strict:
        got = "torch.use_deterministic_algorithms(True)"
        do = "Compute on the CPU, or allow atomic sums, whose rounding varies from run to run."
        raise InputError(who, expected="leave to add in any order", got=got, do=do)


@rays.project.register_kernel("cuda")
def _project(
    image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, lengths: Tensor, planned: list[Tensor]
) -> Tensor:
    del planned
    return cuda_kernels("joseph_cuda", "RayTransform.forward").project(image, offsets, slopes, steep, lengths)


@rays.backproject.register_kernel("cuda")
def _backproject(
    sums: Tensor,
    offsets: Tensor,
    slopes: Tensor,
    steep: Tensor,
    lengths: Tensor,
    planned: list[Tensor],
    rows: int,
    cols: int,
) -> Tensor:
    del planned
    _any_order("RayTransform.adjoint")
    images = cuda_kernels("joseph_cuda", "RayTransform.adjoint")
    return images.backproject(sums, offsets, slopes, steep, lengths, (rows, cols))


@rays3d.project.register_kernel("cuda")
def _project3d(volume: Tensor, views: Tensor, diverging: bool, rows: int, cols: int) -> Tensor:
    return cuda_kernels("joseph3d_cuda", "RayTransform3D.forward").project(volume, views, diverging, rows, cols)


@rays3d.backproject.register_kernel("cuda")
def _backproject3d(sums: Tensor, views: Tensor, diverging: bool, slices: int, rows: int, cols: int) -> Tensor:
    _any_order("RayTransform3D.adjoint")
    volumes = cuda_kernels("joseph3d_cuda", "RayTransform3D.adjoint")
    return volumes.backproject(sums, views, diverging, (slices, rows, cols))
