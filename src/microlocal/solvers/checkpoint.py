"""Checkpoints of an iteration: tensors in a safetensors file, written atomically."""

from pathlib import Path

from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from microlocal.core.errors import InputError


def save_state(path: Path, state: dict[str, Shaped[Tensor, "..."]]) -> None:
    """Write the state beside ``path`` and move it there, so that a crash leaves the old file whole."""
    partial = path.with_suffix(path.suffix + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)
    partial.replace(path)


def load_state(path: Path, start: dict[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the saved state, or ``start`` where there is no file.

    Raises InputError when the file is damaged, or its tensors are not those of ``start``: another problem's checkpoint.
    """
    if not path.exists():
        return start
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        who, do = f"checkpoint {path.name}", "Remove the file, or run without --resume."
        raise InputError(who, expected="a whole safetensors file", got=str(error), do=do) from error
    saved = {name: tuple(t.shape) for name, t in state.items() if name != "iteration"}
    wanted = {name: tuple(t.shape) for name, t in start.items() if name != "iteration"}
    if saved != wanted:
        who, do = f"checkpoint {path.name}", "Remove the file, or resume the run that wrote it."
        raise InputError(who, expected=str(wanted), got=str(saved), do=do)
    return state
