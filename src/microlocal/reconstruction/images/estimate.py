"""What a method for plain images returns, and the checks that all of them make."""

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import pad

from microlocal.certificates.base import Certificate
from microlocal.core.brief import Brief
from microlocal.core.checks import finite, floating, refuse_sizes, tensor
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import lookup
from microlocal.frames.base import Frame

MARGIN = 16  # pixels by which an image is continued as its mirror image, since frames are periodic
LARGEST = 1e15  # of images in float32; 1/LARGEST is the least

Cut = Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]]


@dataclass(frozen=True, eq=False, repr=False)
class ImageEstimate(Brief):
    """An estimated image and how it came about.

    ``image`` (*batch, row, col) in the unit of the input; ``residual``, the data minus what the estimate explains of
    them; ``noise``, the standard deviation that was given or estimated, (*batch,); ``parts``, component images by
    name; ``config``, what was chosen; ``notes``, sentences for the user; ``history``, numbers by iteration;
    ``certificates``, what is proved of the result, with the values that were measured on it; ``provenance``
    (*batch, row, col), codes of ``core.provenance``, where it was asked: NONE where nothing is said of a pixel.
    """

    image: Float[Tensor, "*batch row col"]
    residual: Float[Tensor, "..."]
    noise: Float[Tensor, "*batch"]
    parts: dict[str, Float[Tensor, "*batch row col"]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history: dict[str, list[float]] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    provenance: UInt8[Tensor, "*batch row col"] | None = None


def checked_image(
    image: Float[Tensor, "*batch row col"], who: str, *, any_size: bool = False
) -> Float[Tensor, "*batch row col"]:
    """Return ``image``, cut off from autograd, if it is one, or some, of finite floats with at least 4 x 4 pixels.

    In float32 its largest value is zero or between 1e-15 and 1e15: squares of others get lost, or infinite.
    ``any_size`` is for methods that scale images themselves.

    Raises ShapeError or InputError otherwise.
    """
    if tensor(image, who).ndim < 2 or min(image.shape[-2:]) < 4:
        got = str(tuple(image.shape))
        raise ShapeError(who, expected="(*batch, row, col) of at least 4 x 4", got=got, do="Give a whole image.")
    if not image.numel():
        do = "Leave empty batches out."
        raise ShapeError(who, expected="at least one image", got=str(tuple(image.shape)), do=do)
    values = finite(floating(image.detach(), who), who, "Mark missing pixels in a mask and use inpaint.")
    if values.dtype == torch.float32 and not any_size:
        refuse_sizes(values, who, 1 / LARGEST, LARGEST)
    return values


def checked_frame(frame: Frame | str, shape: tuple[int, int], who: str) -> Frame:
    """Return the frame of ``shape`` that a registered name stands for, or ``frame`` itself if it has that shape."""
    if isinstance(frame, str):
        return _named_frame(frame, who)(shape)
    if not isinstance(frame, Frame):
        do = "Give a registered name, such as shearlet, or a frame object."
        raise InputError(who, expected="a frame or its name", got=type(frame).__name__, do=do)
    if frame.domain_shape != shape:
        raise ShapeError(
            who, expected=f"a frame of shape {shape}", got=str(frame.domain_shape), do="Build it for that."
        )
    return frame


def _named_frame(name: str, who: str) -> Callable[..., Frame]:
    """Return the class that a name stands for if the shape of an image is all that it needs."""
    member = cast(type[Frame], lookup("frame", name, who).member)
    _, *more = signature(member).parameters.values()
    needed = [parameter.name for parameter in more if parameter.default is parameter.empty]
    if not needed and member.domain_axes == "row, col":
        return member
    why = f"which needs {' and '.join(needed)}" if needed else f"whose shape is ({member.domain_axes})"
    do = "Make the frame and give it as an object, or name a frame of images, such as compact-shearlet."
    raise InputError(who, expected="a frame that the shape of an image makes", got=f"{name!r}, {why}", do=do)


def with_mirror_margin(
    image: Float[Tensor, "*batch row col"], frame: Frame | str, who: str
) -> tuple[Float[Tensor, "*batch row col"], Frame, Cut]:
    """Return the image continued by its mirror image, the frame of that size, and the cut back to the image.

    A frame that is given as an object is taken as it is, and the image too.
    """
    if not isinstance(frame, str):
        return image, checked_frame(frame, (int(image.shape[-2]), int(image.shape[-1])), who), lambda x: x
    wide, cut = mirrored(image)
    return wide, checked_frame(frame, (int(wide.shape[-2]), int(wide.shape[-1])), who), cut


def mirrored(image: Float[Tensor, "*batch row col"]) -> tuple[Float[Tensor, "*batch row col"], Cut]:
    """Return the image continued by its mirror image, and the cut back to it."""
    rows, cols = int(image.shape[-2]), int(image.shape[-1])
    margin = min(MARGIN, rows - 1, cols - 1)
    flat = image.reshape(-1, 1, rows, cols)
    wide = pad(flat, (margin,) * 4, mode="reflect").reshape(*image.shape[:-2], rows + 2 * margin, cols + 2 * margin)
    inside = slice(margin, margin + rows), slice(margin, margin + cols)
    return wide, lambda x: x[..., inside[0], inside[1]].contiguous()


def per_image(values: Float[Tensor, "*batch"], trailing: int) -> Float[Tensor, "..."]:
    """Return one value an image in a shape that broadcasts to (*batch, and ``trailing`` more axes)."""
    return values.reshape(*values.shape, *(1,) * trailing)
