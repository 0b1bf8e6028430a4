"""Write a file whole or not at all: into a temporary file of the same folder, then in one step to its name."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microlocal.core.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it takes the place of ``path``, on any failure it is removed.

    Folders are made. Raises OutputError where the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        _removed(temporary)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system raises while ``path`` is written into an OutputError that names it."""
    try:
        yield
    except OSError as error:
        got = error.strerror or str(error)
        do = "Choose a folder that you may write to, with space left."
        raise OutputError(str(path), expected="a place that can be written", got=got, do=do) from error


def sweep(path: Path) -> None:
    """Remove what killed writers left of a file, or in a folder (ours and Zarr's); for what nobody writes any more."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        _removed(left)
    for left in (*path.rglob(".*.tmp"), *path.rglob("*.partial")):
        _removed(left)


def _removed(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
