"""The tooth's axis of rotation and cracks, and the needle's held-out tilts."""

import microlocal as ml
from benchmarks.table import Row, absent, at_most, shared
from microlocal.calibration import find_axis, with_center
from microlocal.core.provenance import Provenance
from microlocal.data import needle

HELD_OUT = 8


def tooth() -> list[Row]:
    """Axis of rotation, and how the edges of a 90 degree cut are labelled."""
    folder = shared()
    if folder is None:
        return [absent("tooth", "the development data are not here: set MICROLOCAL_SHARED")]
    scan = ml.read_scan(folder / "data" / "tooth" / "tooth.h5").slices(0)
    axis = find_axis(scan).center_pixels
    cut = ml.reconstruct(with_center(scan, axis).arc(0, 90), "tv", iterations=100)
    edges = cut.edges.numpy()
    counts = {code: int((edges == code).sum()) for code in (Provenance.MEASURED, Provenance.UNDETERMINED)}
    both = min(counts.values()) > 0
    shown = f"{counts[Provenance.MEASURED]} measured, {counts[Provenance.UNDETERMINED]} undetermined"
    return [
        at_most("axis of rotation, distance from pixel 296.0", "tooth, row 0, half a turn", abs(axis - 296.0), 0.5),
        Row("edge pixels of the 90 degree cut", "tooth, row 0, tv", "both kinds", shown, both),
    ]


def held_out() -> list[Row]:
    """Errors of tilts that the methods did not see."""
    scan = needle().slices(2)
    errors = {}
    for name in ("fbp", "cgls", "tv", "shearlet", "directional-tv"):
        errors[name] = ml.reconstruct(scan, name, hold_out=HELD_OUT).metrics["hold-out error"]
    linear = min(errors["fbp"], errors["cgls"])
    rows = []
    for name, error in errors.items():
        sparse = name in ("tv", "shearlet")
        asked = f"< {100 * linear:.2f} %" if sparse else ""
        where = f"needle, slice 2, {HELD_OUT} of 77 tilts held out"
        rows.append(
            Row(f"held-out error, {name}", where, asked, f"{100 * error:.2f} %", error < linear if sparse else None)
        )
    return rows


def suite() -> list[Row]:
    """All rows of these scans."""
    return [*tooth(), *held_out()]
