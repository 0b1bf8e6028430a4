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
