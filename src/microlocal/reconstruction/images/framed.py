"""Frames on large images, window by window.

Compactly supported shearlets and their duals fall off within some hundred pixels: what is done to the coefficients of
a pixel's surroundings is the same in a window as in the whole image, up to 1e-6 of the image's range, where every
coefficient is treated by itself. Images with a frame are periodic, and their windows too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.progress import SILENT, Progress
from microlocal.frames.base import Frame
from microlocal.frames.compact_shearlet import REACH
from microlocal.operators.windows import counted, torus_windows
from microlocal.reconstruction.images.estimate import Cut, checked_frame, mirrored

WHOLE = 1 << 21  # pixels of an image that is not divided
TILE = 768  # pixels of a side of a window, without its margin
NEAR = {"compact-shearlet": REACH}

Images = Float[Tensor, "*batch row col"]


@dataclass(eq=False)
class Framed:
    """A ``frame``, or its name, on images of a shape; ``who`` asks for it; ``divides``, whether in windows if large."""

    frame: Frame | str
    shape: tuple[int, int]
    who: str
    divides: bool = True
    progress: Progress = SILENT
    _made: dict[tuple[int, int], Frame] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return type(next(iter(self._made.values()))).__name__ if self._made else str(self.frame)

    def map(self, change: Callable[[Frame, Images], Images], x: Images) -> Images:
        """Return ``change(frame, x)``, window by window where the image is large."""
        margin = self._margin()
        if margin is None:
            return change(self.at(self.shape), x)
        found = torch.empty_like(x)
        for window in counted(torus_windows(self.shape, margin, TILE), self.progress):
            part = change(self.at((len(window.rows), len(window.cols))), _taken(x, window.rows, window.cols))
            found[(..., *window.inner)] = part[(..., *window.within)]
        return found

    def greatest(self, look: Callable[[Frame, Images], Float[Tensor, "*batch"]], x: Images) -> Float[Tensor, "*batch"]:
        """Return the greatest ``look(frame, part)`` of the windows, which overlap."""
        margin = self._margin()
        if margin is None:
            return look(self.at(self.shape), x)
        parts = counted(torus_windows(self.shape, margin, TILE), self.progress)
        found = [look(self.at((len(w.rows), len(w.cols))), _taken(x, w.rows, w.cols)) for w in parts]
        return torch.stack(found).amax(dim=0)

    def at(self, shape: tuple[int, int]) -> Frame:
        """Return the frame of a shape; raises InputError, ShapeError or UnknownNameError where it is none."""
        if shape not in self._made:
            self._made[shape] = checked_frame(self.frame, shape, self.who)
        return self._made[shape]

    def _margin(self) -> int | None:
        near = NEAR.get(self.frame) if isinstance(self.frame, str) else None
        return near if self.divides and self.shape[0] * self.shape[1] > WHOLE else None


def framed(image: Images, frame: Frame | str, who: str, progress: Progress = SILENT) -> tuple[Images, Framed, Cut]:
    """Return the image continued by its mirror image, the frame on it, and the cut back to the image.

    A frame that is given as an object is taken as it is, and the image too.
    """
    wide, cut = mirrored(image) if isinstance(frame, str) else (image, _itself)
    found = Framed(frame, (int(wide.shape[-2]), int(wide.shape[-1])), who, progress=progress)
    return wide, found, cut


def _itself(x: Tensor) -> Tensor:
    return x


def _taken(x: Images, rows: Tensor, cols: Tensor) -> Images:
    return x.index_select(-2, rows.to(x.device)).index_select(-1, cols.to(x.device))
