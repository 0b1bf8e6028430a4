"""Checkpoints of an iteration: tensors in a safetensors file, written atomically."""

import hashlib
from pathlib import Path

from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import InputError


def owner_of(data: Shaped[Tensor, "..."]) -> str:
    """Return the SHA-256 of the data: the mark by which a checkpoint knows its problem again."""
    return hashlib.sha256(to_numpy(data).tobytes()).hexdigest()


def save_state(path: Path, state: dict[str, Shaped[Tensor, "..."]], owner: str = "") -> None:
    """Write the state beside ``path`` and move it there, so that a crash leaves the old file whole."""
    partial = path.with_suffix(path.suffix + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial, metadata={"owner": owner})
    partial.replace(path)


def load_state(
    path: Path, start: dict[str, Shaped[Tensor, "..."]], owner: str = ""
) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the saved state, or ``start`` where there is no file.

    Raises InputError when the file is damaged, was written for another ``owner``, or holds other tensors.
    """
    if not path.exists():
        return start
    try:
        state = load_file(path)
        with safe_open(path, "pt") as file:
            written_for = (file.metadata() or {}).get("owner", "")
    except (SafetensorError, OSError) as error:
        who, do = f"checkpoint {path.name}", "Remove the file, or run without --resume."
        raise InputError(who, expected="a whole safetensors file", got=str(error), do=do) from error
    if written_for != owner:
        who, do = f"checkpoint {path.name}", "Remove the file, or resume with the data it was written for."
        raise InputError(who, expected=f"data {owner[:12] or 'unmarked'}", got=written_for[:12] or "unmarked", do=do)
    saved = {name: tuple(t.shape) for name, t in state.items() if name != "iteration"}
    wanted = {name: tuple(t.shape) for name, t in start.items() if name != "iteration"}
    if saved != wanted:
        who, do = f"checkpoint {path.name}", "Remove the file, or resume the run that wrote it."
        raise InputError(who, expected=str(wanted), got=str(saved), do=do)
    return state
