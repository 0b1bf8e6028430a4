"""Where coefficients are kept: memory in large pages, or a file that is mapped into memory when they do not fit."""

import functools
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.core.errors import OutputError

_NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}


_GROUPS = Path("/sys/fs/cgroup")
# Of the groups that hold a process to a share of the machine's memory: where the limit and the use stand, by version.
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
_NO_LIMIT = 1 << 60


def available_bytes() -> int:
    """Return the memory that can be had without swapping, in bytes (a very large number where nobody says).

    Of the machine, or of a container or batch job where that was given less.
    """
    return min(_left_in_machine(), *(_left_in_group(*group) for group in _groups(_GROUPS)), _NO_LIMIT)


def _left_in_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        said = next(line for line in lines if line.startswith("MemAvailable"))
        return int(said.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 1 << 40
        return pages * 4096


@functools.cache
def _groups(root: Path) -> tuple[tuple[int, Path], ...]:
    """Return the limits that groups set this process, its own and those above, with the files of what they use."""
    folders = [root, root / "memory"]  # what a container sees of its own group
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds in ("", "memory"):
            own = root / kinds / name.lstrip("/")
            folders += [own, *(above for above in own.parents if above.is_relative_to(root / kinds))]
    files = ((folder / limit, folder / used) for folder in dict.fromkeys(folders) for limit, used in _LIMITS)
    read = ((_text(limit).strip(), used) for limit, used in files)
    return tuple((int(limit), used) for limit, used in read if limit.isdigit() and int(limit) < _NO_LIMIT)


def _left_in_group(most: int, used: Path) -> int:
    """Return what a group has left of its limit; files that it has read count as free."""
    counts = dict(line.split() for line in _text(used.with_name("memory.stat")).splitlines())
    return max(most - int(_text(used) or 0) + int(counts.get("inactive_file", 0)), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def empty(shape: tuple[int, ...], like: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
    """Return an uninitialised tensor with the precision and device of ``like``.

    On the CPU it comes from numpy, which asks for large pages: a fresh tensor of 50 MB then costs 4 ms instead of the
    17 ms of page faults that the transform itself takes. What does not fit into memory lies in a temporary file, which
    a warning names and which goes with the tensor. Raises OutputError where the file does not fit either.
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
        UserWarning,  # a ResourceWarning is not shown to users
        stacklevel=2,
    )
    with tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file.fileno(), size, folder)
        return torch.from_numpy(np.memmap(file, dtype=kind, mode="w+", shape=shape))


def _reserve(file: int, size: int, folder: str) -> None:
    """Take the space of a file before it is mapped: where it ran out later, the system would kill the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        do = "Use map_filters or a decimated frame, or name a folder with more space: TMPDIR=/large/disk."
        expected, got = f"{size / 2**30:.1f} GiB of space", error.strerror or str(error)
        raise OutputError(folder, expected=expected, got=got, do=do) from error
