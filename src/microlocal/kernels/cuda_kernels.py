"""The CUDA kernels, loaded when the first tensor on a GPU comes: most users have none."""

from importlib import import_module
from typing import Any

from microlocal.core.extras import extra


def cuda_kernels(name: str, who: str) -> Any:
    """Return the module ``name`` of CUDA kernels; raises InputError where numba-cuda is not installed."""
    extra("numba_cuda", "cuda", who)
    return import_module(f"microlocal.kernels.{name}")
