"""Turns and mirror images after which a scan is still one of those that a network has seen."""

from jaxtyping import Shaped
from torch import Tensor

Symmetry = tuple[int, bool]  # quarter turns, then left and right exchanged or not
NONE: Symmetry = (0, False)


def symmetries(aligned: bool, fan: bool) -> list[Symmetry]:
    """Return the symmetries of a kind of scan: all of the square, or those that leave the middle of aligned views.

    In parallel beam a view is also the opposite one, so that half a turn changes nothing.
    """
    if not aligned:
        return [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]
    return [(quarters, mirrored) for quarters in ((0,) if fan else (0, 2)) for mirrored in (False, True)]


def moved(image: Shaped[Tensor, "*batch row col"], symmetry: Symmetry) -> Shaped[Tensor, "*batch row2 col2"]:
    """Return an image turned, then mirrored."""
    quarters, mirrored = symmetry
    image = image.rot90(quarters, (-2, -1))
    return image.flip(-1) if mirrored else image


def moved_back(image: Shaped[Tensor, "*batch row col"], symmetry: Symmetry) -> Shaped[Tensor, "*batch row2 col2"]:
    """Undo :func:`moved`."""
    quarters, mirrored = symmetry
    return (image.flip(-1) if mirrored else image).rot90(-quarters, (-2, -1))
