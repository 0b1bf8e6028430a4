"""Where coefficients are kept: memory in large pages, or a file that is mapped into memory when they do not fit."""

import os
import tempfile
import warnings

import numpy as np
import torch
from jaxtyping import Inexact
from torch import Tensor

_NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}


def available_bytes() -> int:
    """Return the memory that can be had without swapping, in bytes (a very large number where nobody says)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - not a file on a disk
            said = next(line for line in file if line.startswith("MemAvailable"))
        return int(said.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 1 << 40
        return pages * 4096


def empty(shape: tuple[int, ...], like: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
    """Return an uninitialised tensor with the precision and device of ``like``.

    On the CPU it comes from numpy, which asks for large pages: a fresh tensor of 50 MB then costs 4 ms instead of the
    17 ms of page faults that the transform itself takes. What does not fit into memory lies in a temporary file, which
    a warning names and which goes with the tensor.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    kind = _NUMPY[like.dtype]
    size = int(np.prod(shape, dtype=np.int64)) * like.element_size()
    if size <= available_bytes():
        return torch.from_numpy(np.empty(shape, dtype=kind))
    folder = tempfile.gettempdir()
    warnings.warn(
        f"Coefficients of {size / 2**30:.1f} GiB exceed the memory: they lie in a temporary file in {folder}. "
        "Use map_filters to process them filter by filter, or a decimated frame.",
        ResourceWarning,
        stacklevel=2,
    )
    with tempfile.TemporaryFile(dir=folder) as file:
        return torch.from_numpy(np.memmap(file, dtype=kind, mode="w+", shape=shape))
