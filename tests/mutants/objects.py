"""Objects broken in one way each."""

import numpy as np

from microlocal.data.objects import Object
from microlocal.data.polygon import Polygon

OUTLINE = np.array([[-1.2, -0.7], [0.9, -1.0], [0.1, 0.1], [1.1, 1.3], [-0.8, 0.9]])


class WrongCrossing(Polygon):
    """Chords that begin where they end: the wrong sign at every crossing."""

    def line_integral(self, phi, s):
        return -super().line_integral(phi, s)


class WholePixels(Polygon):
    """Pixels that are touched count as covered."""

    def add_to(self, image, grid, oversampling):
        share = np.zeros_like(image)
        super().add_to(share, grid, oversampling)
        image += np.where(share > 0, self.value, 0.0)


def objects():
    return {
        "line_integrals_are_sums_of_the_density": Object((WrongCrossing(1.0, OUTLINE),)),
        "the_image_has_the_mass_of_every_view": Object((WholePixels(1.0, OUTLINE),)),
    }
