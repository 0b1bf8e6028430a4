"""The laws of objects whose line integrals are known; a sample is an ``Object`` within the square of half-side 2."""

import math

import numpy as np

from microlocal.core.geometry import Detector, FanBeam, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.data.objects import Object
from microlocal.testing.violation import expect

HALF, POINTS = 2.0, 4000  # of the square; on every line
ANGLES = tuple(math.radians(a) for a in (0.0, 17.0, 90.0, 133.0, 260.0))


def line_integrals_are_sums_of_the_density(sample: Object) -> None:
    """Parallel and fan lines: the exact integrals are midpoint sums of the density, up to a step at each jump."""
    beams = (
        ParallelBeam(ANGLES, Detector(37, 0.11, offset=0.1)),
        FanBeam(ANGLES, Detector(29, 0.3, offset=0.1, reversed=True), source_axis=6.0, source_detector=11.0),
    )
    reach = 1.5 * HALF
    along = ((np.arange(POINTS) + 0.5) / POINTS - 0.5) * 2 * reach
    for beam in beams:
        phi, s = (values[..., None] for values in beam.lines())
        x, y = s * np.cos(phi) - np.sin(phi) * along, s * np.sin(phi) + np.cos(phi) * along
        density = sum((shape.density(x, y) for shape in sample.shapes), start=np.zeros(1))
        expected, found = density.sum(-1) * 2 * reach / POINTS, sample.sinogram(beam)
        gap = float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 1e-12)
        name = type(beam).__name__
        expect(gap < 0.02, f"{sample.name or 'object'}: {name} line integrals are off by {gap:.3g} of the largest")


def the_image_has_the_mass_of_every_view(sample: Object) -> None:
    """The integral of a parallel view is that of the image, whatever its direction."""
    grid = Grid((96, 96), 2 * HALF / 96)
    mass = float(sample.image(grid, 8).sum()) * grid.pixel**2
    views = sample.sinogram(ParallelBeam(ANGLES, Detector(600, 0.01)), subrays=2).sum(axis=1) * 0.01
    gap = float(np.abs(views - mass).max()) / max(abs(mass), 1e-12)
    expect(gap < 0.02, f"{sample.name or 'object'}: views and image differ by {gap:.3g} of the mass {mass:.3g}")


LAWS = (line_integrals_are_sums_of_the_density, the_image_has_the_mass_of_every_view)
