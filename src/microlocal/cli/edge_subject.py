"""What ``microlocal edges`` looks at: a picture or a slice of a reconstruction, and what is known of its scan."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from microlocal.cli import lazy
from microlocal.cli.words import length

if TYPE_CHECKING:
    from microlocal.core import Geometry, Grid, InputError
    from microlocal.reconstruction import Reconstruction

WHO = "microlocal edges"


class Subject(NamedTuple):
    """The plane to look at; where they are known its scan's geometry, its grid, and what a network began from.

    ``air``, where the data show that the object is not; ``slice_index``, the slice of a stack; ``notes``, sentences
    that say what was taken for granted.
    """

    plane: Any
    geometry: "Geometry | None" = None
    grid: "Grid | None" = None
    before: Any = None
    air: Any = None
    slice_index: int | None = None
    notes: tuple[str, ...] = ()


def opened(image: Path, scan: Path | None, slice_index: int | None) -> Subject:
    """Return what is in a picture's file, with the scan behind it, or in the folder of a reconstruction.

    Raises InputError where picture and scan do not show the same field of view, or a slice is asked of what has none.
    """
    if image.is_dir():
        return _of_reconstruction(lazy.reconstruction.read_result(image), slice_index)
    if slice_index is not None:
        raise _no_slices(f"the picture {image}")
    _refuse_scan(image)
    pixels = lazy.io.read_picture(image)
    if scan is None:
        return Subject(pixels)
    read = lazy.io.read_scan(scan)
    grid = _same_view(read.grid, pixels.shape, str(scan))
    # Which slice of a stack the picture shows is not known: air is what is so in all.
    air = lazy.outline.air_around(read, grid).all(dim=0).numpy()
    return Subject(pixels, read.geometry, grid, air=air, notes=_assumed(read.grid, grid))


def _of_reconstruction(result: "Reconstruction", slice_index: int | None) -> Subject:
    scan, single = result.scan, result.image.ndim == 2
    pages, visible = (x.reshape(-1, *scan.grid.shape).numpy() for x in (result.image, result.visible))
    if single and slice_index is not None:
        raise _no_slices("a reconstruction of one slice")
    k = len(pages) // 2 if slice_index is None else slice_index
    if not 0 <= k < len(pages):
        expected, do = f"--slice within 0..{len(pages) - 1}", "Choose another slice."
        raise lazy.core.InputError(WHO, expected=expected, got=str(k), do=do)
    notes = () if single else (f"Slice {k} of 0 to {len(pages) - 1}.",)
    before = None if result.learned is None else visible[k]
    own = scan if single else scan.slices(k)
    air = lazy.outline.air_around(own, scan.grid)[0].numpy()
    return Subject(pages[k], scan.geometry, scan.grid, before, air, None if single else k, notes)


def _no_slices(got: str) -> "InputError":
    expected = "the folder of a stack's reconstruction with --slice"
    return lazy.core.InputError(WHO, expected=expected, got=got, do="Drop --slice.")


def _refuse_scan(image: Path) -> None:
    """Refuse a scan: the edges of a sinogram as a picture are not those of the object."""
    try:
        scan = lazy.io.read_scan(image)
    except lazy.core.MicrolocalError:
        return
    raise lazy.core.InputError(
        str(image),
        expected="a picture, or the folder of a reconstruction",
        got=f"a scan of {scan.geometry.shape[0]} views",
        do="Run microlocal reconstruct first, and give its folder; or read the edges of the object from the sinogram "
        "with microlocal.from_sinogram in Python.",
    )


def _same_view(own: "Grid", shape: tuple[int, int], scan: str) -> "Grid":
    """Return the grid of ``shape`` over the field of view of the scan's own grid, to within a pixel."""
    side = max(n * own.pixel / m for n, m in zip(own.shape, shape, strict=True))
    if any(abs(m * side - n * own.pixel) > side for n, m in zip(own.shape, shape, strict=True)):
        expected = f"an image with the sides of {scan}, as {own.shape[0]} x {own.shape[1]}"
        do = "Crop or pad the image to the field of view of the scan, or give the scan it was made from."
        raise lazy.core.InputError(WHO, expected=expected, got=f"{shape[0]} x {shape[1]} pixels", do=do)
    return own if shape == own.shape else lazy.core.Grid((shape[0], shape[1]), side, own.center, own.unit)


def _assumed(own: "Grid", grid: "Grid") -> tuple[str, ...]:
    if grid is own:
        return ()
    rows, cols = grid.shape
    sides = " x ".join(length(n * own.pixel, own.unit) for n in own.shape)
    told = f"The scan's image has {own.shape[0]} x {own.shape[1]} pixels, this one {rows} x {cols}"
    return (f"{told}: taken to show the same field of view, {sides}.",)
