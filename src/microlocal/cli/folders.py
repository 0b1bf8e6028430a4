"""Output folders: found unwritable before anything is computed, and left as they were when nothing came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from microlocal.cli import lazy


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Make ``path`` if needed and prove that it can be written; remove what was made if it is still empty at the end.

    Raises OutputError when there is a file of that name or the folder cannot be written.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        _remove_empty(made)
        raise lazy.core.OutputError(
            f"--out {path}",
            expected="a folder that can be written",
            got=error.strerror or str(error),
            do="Choose another folder with --out, or change its permissions.",
        ) from error
    try:
        yield path
    finally:
        _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def stamps(folder: Path) -> dict[Path, int]:
    """Return the files in ``folder`` with the time of their last change."""
    return {file: file.stat().st_mtime_ns for file in sorted(folder.iterdir()) if file.is_file()}


def written(folder: Path, before: dict[Path, int]) -> list[Path]:
    """Return the files that are new or changed since ``before``."""
    return [file for file, stamp in stamps(folder).items() if before.get(file) != stamp]
