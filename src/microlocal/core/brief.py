"""How results show themselves in a terminal: in one line, arrays by kind and shape."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

import numpy as np
from torch import Tensor

LONG = 60  # characters; what takes more is named by its class


class Brief:
    """A dataclass whose ``repr`` is one line; fields that are None or empty are left out.

    >>> from dataclasses import dataclass
    >>> @dataclass(repr=False)
    ... class Found(Brief):
    ...     image: np.ndarray
    ...     notes: tuple[str, ...] = ()
    ...     noise: float = 0.1
    >>> Found(np.zeros((3, 4)))
    Found(image=float64 (3, 4), noise=0.1)
    """

    def __repr__(self) -> str:
        held = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={_brief(value)}" for name, value in held if not _nothing(value))
        return f"{type(self).__name__}({shown})"


def _nothing(value: Any) -> bool:
    array = isinstance(value, Tensor | np.ndarray)
    return value is None or (isinstance(value, Collection) and not array and len(value) == 0)


def _brief(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Tensor | np.ndarray):
        return _brief(value.item())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "{" + ", ".join(map(str, value)) + "}" if len(str(list(value))) <= LONG else f"{{{len(value)} entries}}"
    plain = repr(value)
    if len(plain) <= LONG and "\n" not in plain:
        return plain
    return f"({len(value)} x {type(value[0]).__name__})" if isinstance(value, tuple | list) else type(value).__name__
