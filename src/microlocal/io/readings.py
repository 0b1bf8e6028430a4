"""A stored stack whose readings become line integrals slice by slice, each in the same way.

What the whole stack shares (the usual brightness of the beam, the background level) is measured once, on slices that
are spread evenly over it, so that it makes no difference which slices are read together. A slice that cannot be used
is refused alone, with the reason.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped

from microlocal.core.errors import ScanFileError
from microlocal.io.assemble import LARGEST, floats
from microlocal.io.counts import Flux, from_transmission, line_integrals
from microlocal.io.stored import Stored

SAMPLE = 8


def sample_of(count: int) -> range:
    """Return the numbers of up to eight evenly spread slices, which stand for all ``count``.

    >>> list(sample_of(40)), list(sample_of(3))
    ([2, 7, 12, 17, 22, 27, 32, 37], [0, 1, 2])
    """
    step = max(1, -(-count // SAMPLE))
    return range(step // 2, count, step)


@dataclass(frozen=True)
class Block:
    """Slices that were read: ``values`` (slice, angle, detector), the ``kept`` slices' numbers, the others' faults."""

    values: Float[np.ndarray, "slice angle detector"]
    kept: tuple[int, ...]
    refused: dict[int, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readings:
    """Numbers of a detector and how they become line integrals.

    Parameters: ``array``; ``quantity``, "line integrals", "transmission" or "counts"; ``flats`` and ``darks``, frames
    in the place of angles; ``typical``, the usual flat minus dark; ``level``, subtracted from line integrals.
    """

    array: Stored
    quantity: str = "line integrals"
    flats: Stored | None = None
    darks: Stored | None = None
    typical: float | None = None
    level: float = 0.0

    def read(self, numbers: range) -> Block:
        """Return the line integrals of the slices of these numbers, without those that cannot be used."""
        raw = self.array.read(numbers.start, numbers.stop, numbers.step)
        flat, dark = (self._mean(frames, numbers) for frames in (self.flats, self.darks))
        kept: dict[int, Float[np.ndarray, "angle detector"]] = {}
        refused, said = {}, []
        for number, page, flat_row, dark_row in zip(numbers, raw, flat, dark, strict=True):
            try:
                frames, told = self._converted(floats(page, self.who)[:, None], flat_row[None], dark_row[None])
                kept[number] = self._checked(frames[:, 0])
                said += [f"Slice {number}: {sentence}" for sentence in told]
            except ScanFileError as error:
                refused[number] = f"expected {error.expected}, got {error.got}"
        values = np.stack(list(kept.values())) if kept else np.zeros((0, *raw.shape[1:]), np.float32)
        return Block(values, tuple(kept), refused, tuple(said))

    @property
    def who(self) -> str:
        """The file, for messages."""
        return str(self.array.path)

    def beam(self, numbers: range) -> Float[np.ndarray, "slice detector"]:
        """Return flat minus dark in the slices of these numbers."""
        return self._mean(self.flats, numbers) - self._mean(self.darks, numbers)

    def _mean(self, frames: Stored | None, numbers: range) -> Float[np.ndarray, "slice detector"]:
        """Return the mean frame's rows of these numbers, zeros where there are no frames."""
        if frames is None or frames.shape[1] == 0:
            return np.zeros((len(numbers), self.array.shape[2]))
        part = frames.read(numbers.start, numbers.stop, numbers.step)
        return part.astype(np.float64).mean(axis=1)

    def _converted(
        self,
        frames: Float[np.ndarray, "angle 1 detector"],
        flat: Float[np.ndarray, "1 detector"],
        dark: Float[np.ndarray, "1 detector"],
    ) -> tuple[Float[np.ndarray, "angle 1 detector"], tuple[str, ...]]:
        if self.quantity == "counts":
            return line_integrals(frames, Flux(flat, dark), self.who, self.typical)
        if self.quantity == "transmission":
            return from_transmission(frames, None, self.who)
        return frames - np.asarray(self.level, frames.dtype), ()

    def _checked(self, page: Shaped[np.ndarray, "angle detector"]) -> Shaped[np.ndarray, "angle detector"]:
        bad = int(page.size - np.count_nonzero(np.isfinite(page)))
        if bad:
            got = f"{bad} NaN or infinite of {page.size}"
            raise ScanFileError(self.who, expected="finite data", got=got, do="Repair the slice.")
        largest = float(np.abs(page).max())
        if largest > LARGEST:
            got = f"values up to {largest:g}"
            raise ScanFileError(self.who, expected=f"data up to {LARGEST:g}", got=got, do="Rescale the data.")
        return page
