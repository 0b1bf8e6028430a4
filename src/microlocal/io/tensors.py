"""Named tensors to a safetensors file and back: whole or not at all, with a checksum, nothing unpickled."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.io.atomic import replacing

HEADER, SUM = "microlocal", "tensors_sha256"
Named = Mapping[str, Shaped[Tensor, "..."]]


def checksum(tensors: Named) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of the tensors, in the order of their names.

    >>> import torch
    >>> checksum({"a": torch.zeros(2)}) == checksum({"a": torch.zeros(2)}), len(checksum({}))
    (True, 64)
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        plain = _plain(tensors[name])
        total.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        total.update(plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return total.hexdigest()


def _plain(x: Tensor) -> Tensor:
    """Return the values in memory as they are: without gradient, on the CPU, conjugated and negated."""
    return x.detach().cpu().resolve_conj().resolve_neg().contiguous()


def write_tensors(tensors: Named, path: Path, facts: Mapping[str, str] | None = None) -> str:
    """Write the tensors with ``facts`` beside them in the header; return their checksum. Raises OutputError."""
    plain = {name: _plain(value).clone() for name, value in tensors.items()}
    mark = checksum(plain)
    with replacing(path) as temporary:
        header = {HEADER: json.dumps({**(facts or {}), SUM: mark}, sort_keys=True)}  # one entry: several have no order
        temporary.write_bytes(save(plain, metadata=header))
    return mark


def read_tensors(path: Path, who: str, do: str) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, str]]:
    """Return the tensors and the facts of a file that ``write_tensors`` wrote.

    Raises InputError, ending in ``do``, where the file is missing, damaged, or its tensors are not those written.
    """
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(who, expected=f"a whole safetensors file {path.name}", got=str(error)[:160], do=do) from error
    written, found = facts.pop(SUM, "none"), checksum(tensors)
    if written != found:
        expected = f"tensors of {path.name} with SHA-256 {written[:12]}"
        raise InputError(who, expected=expected, got=found[:12], do=do)
    return tensors, facts
