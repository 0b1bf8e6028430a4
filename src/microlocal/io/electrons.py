"""What readers of electron tilt series share: intensities with a background become line integrals.

By the projection requirement an annular dark-field intensity grows with the projected density; in vacuum the detector
still reads a background level, which is measured and subtracted.
"""

import numpy as np
from jaxtyping import Float, Shaped

from microlocal.io.assemble import Views

BACKGROUND_PERCENTILE = 5.0


def sinograms(stack: Shaped[np.ndarray, "angle row col"], tilt_axis: str) -> Shaped[np.ndarray, "slice angle detector"]:
    """Return the sinograms of a stack of images: one per row if the tilt axis is vertical (y), one per column if x."""
    return stack.transpose(1, 0, 2) if tilt_axis == "y" else stack.transpose(2, 0, 1)


def without_background(views: Views) -> Views:
    """Return the views minus the background level, said aloud.

    The level is the 5th percentile of all readings: it lies in the vacuum as soon as vacuum fills 5 % of the images,
    and the few readings below it that alignment padded with a constant do not move it.
    """
    level = float(np.percentile(views.data, BACKGROUND_PERCENTILE)) if views.data.size else 0.0
    data: Float[np.ndarray, "*batch angle detector"] = views.data - np.asarray(level, views.data.dtype)
    return Views(data, views.angles_deg, views.warnings).said(
        f"Intensities are taken as line integrals after subtraction of the background {level:.4g}, "
        f"the {BACKGROUND_PERCENTILE:g}th percentile of all readings."
    )


def contradiction(stack: Shaped[np.ndarray, "angle row col"], tilt_axis: str) -> tuple[str, ...]:
    """Return a warning if the data speak against the tilt axis: across it, every slice must keep its mass.

    The sums of the columns (rows) do not change with the tilt if the tilt axis runs along x (y).
    """
    variation = {"x": _mass_variation(stack.sum(axis=1)), "y": _mass_variation(stack.sum(axis=2))}
    other = "y" if tilt_axis == "x" else "x"
    if variation[tilt_axis] <= 2 * variation[other]:
        return ()
    return (
        f"The tilt axis seems to run along {other}, not {tilt_axis}: the mass of the slices, which no tilt changes, "
        f"varies by {variation[tilt_axis]:.1%} for {tilt_axis} and by {variation[other]:.1%} for {other}. "
        f'To turn it, write {{"tilt_axis": "{other}"}} in a JSON file beside the scan.',
    )


def _mass_variation(mass: Shaped[np.ndarray, "angle slice"]) -> float:
    """Standard deviation over the tilts over the range of the mean mass of the slices."""
    mass = mass.astype(np.float64)
    mean = mass.mean(axis=0)
    span = float(np.linalg.norm(mean - mean.min()))
    return float(np.linalg.norm(mass.std(axis=0))) / span if span > 0 else 0.0
