"""Raw counts become line integrals (Beer and Lambert):

    g = -log((counts - dark) / (flat - dark))

Flats and darks are averaged over their frames. Pixels without beam and readings without transmission have no
logarithm: they are counted, said aloud, and filled in linearly along the detector.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from microlocal.core.errors import ScanFileError

Frames = Float[np.ndarray, "angle slice detector"]


@dataclass(frozen=True, eq=False)
class Flux:
    """The detector without sample (``flat``) and without beam (``dark``): mean frames (slice, detector)."""

    flat: Float[np.ndarray, "slice detector"]
    dark: Float[np.ndarray, "slice detector"]


def line_integrals(
    counts: Frames, flux: Flux, who: str, typical: float | None = None
) -> tuple[Frames, tuple[str, ...]]:
    """Return -log((counts - dark)/(flat - dark)), and sentences about what was repaired.

    Parameters: ``counts`` (angle, slice, detector); ``typical``, the usual flat - dark of the whole detector where
    these are some of its rows (by default the median of what is given). Raises ScanFileError if the frames do not
    fit, the flats are not brighter than the darks, or most readings are unusable.
    """
    transmission, dead = transmissions(counts, flux, who, typical)
    return from_transmission(transmission, dead, who)


def transmissions(
    counts: Frames, flux: Flux, who: str, typical: float | None = None
) -> tuple[Frames, Bool[np.ndarray, "slice detector"]]:
    """Return (counts - dark)/(flat - dark), and which pixels are without beam; raises as ``line_integrals``."""
    if flux.flat.shape != counts.shape[1:] or flux.dark.shape != counts.shape[1:]:
        got = f"flats {flux.flat.shape} and darks {flux.dark.shape}"
        raise ScanFileError(who, expected=f"frames of shape {counts.shape[1:]}", got=got, do="Give matching frames.")
    beam = np.asarray(flux.flat, np.float64) - flux.dark
    if typical is None:
        typical = float(np.nanmedian(beam)) if np.isfinite(beam).any() else 0.0
    if typical <= 0:
        got = f"a median of flats minus darks of {typical:g}"
        raise ScanFileError(who, expected="flats brighter than darks", got=got, do="Check which frames are the flats.")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        dead = np.logical_not(beam > 0.01 * typical)
        return (counts - flux.dark) / np.where(dead, np.nan, beam), dead


def from_transmission(
    transmission: Frames, dead: Bool[np.ndarray, "slice detector"] | None, who: str
) -> tuple[Frames, tuple[str, ...]]:
    """Return -log(transmission), unusable readings filled in, and sentences about them; raises ScanFileError.

    Parameters: ``transmission`` (angle, slice, detector); ``dead``, the pixels already known to be without beam.
    """
    known = np.zeros(transmission.shape[1:], bool) if dead is None else dead
    bad = without_logarithm(transmission)
    unread = int(np.count_nonzero(bad & ~known))
    if 2 * np.count_nonzero(bad) > bad.size:
        got = f"{np.count_nonzero(bad)} of {bad.size} without transmission"
        raise ScanFileError(who, expected="positive transmissions", got=got, do="Are these counts? Check the flats.")
    values = -np.log(np.where(bad, 1.0, transmission))
    brightest = float(np.percentile(transmission[~bad], 50))
    if brightest > 10:
        got = f"a median transmission of {brightest:g}"
        raise ScanFileError(who, expected="transmissions around 0..1", got=got, do="Check the quantity and the flats.")
    said = []
    if known.any():
        said.append(f"{np.count_nonzero(known)} detector pixels without beam were filled in from their neighbours.")
    if unread:
        said.append(f"{unread} readings without positive transmission were filled in from their neighbours.")
    return filled_in(values, bad, who), tuple(said)


def without_logarithm(transmission: Frames) -> Bool[np.ndarray, "angle slice detector"]:
    """Return which readings are not finite and above zero."""
    with np.errstate(invalid="ignore"):
        return np.asarray(~(np.isfinite(transmission) & (transmission > 0)))


def filled_in(values: Frames, bad: Bool[np.ndarray, "angle slice detector"], who: str) -> Frames:
    """Return values with bad entries interpolated linearly along the detector.

    A detector row without one good pixel is taken from the nearest view in which the row has some; raises
    ScanFileError where no view has.
    """
    result = values.copy()
    pixels = np.arange(values.shape[-1])
    lost = np.asarray(bad.all(axis=-1))
    for view, row in zip(*np.nonzero(bad.any(axis=-1) & ~lost), strict=True):
        gaps = bad[view, row]
        result[view, row, gaps] = np.interp(pixels[gaps], pixels[~gaps], values[view, row, ~gaps])
    for view, row in zip(*np.nonzero(lost), strict=True):
        good = np.flatnonzero(~lost[:, row])
        if good.size == 0:
            got = f"none in row {row}"
            raise ScanFileError(who, expected="usable readings in every row", got=got, do="Choose other rows.")
        result[view, row] = result[good[np.abs(good - view).argmin()], row]
    return result
