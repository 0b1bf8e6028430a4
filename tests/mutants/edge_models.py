"""Edge models broken in one way each."""

from dataclasses import replace

import numpy as np

from microlocal.wavefront.models import shearlet


def _changed(change):
    def model(image, ridges):
        edge, ridge = shearlet(image, ridges)
        return change(edge), ridge

    return "mutant", model


def _tilted(edge):
    return replace(edge, normal_rad=edge.normal_rad + np.radians(6.0))


def _mirrored(edge):
    """The y axis points down: right for 0° and 90° only."""
    return replace(edge, normal_rad=-edge.normal_rad % (2 * np.pi))


def _of_pixel_parity(edge):
    thin = edge.thin & (np.arange(edge.thin.shape[1]) % 2 == 0)
    return replace(edge, thin=thin, noise=0.0)


def _absolute(edge):
    return replace(edge, noise=0.3)


def _sees_rounding(edge):
    strength = edge.strength + 1.0
    thin = np.zeros(strength.shape, dtype=bool)
    thin[10, 5:20] = True
    return replace(edge, strength=strength, thin=thin | edge.thin, noise=1e-9)


def _overwrites(image, ridges):
    fields = shearlet(image, ridges)
    image.mul_(0.5)
    return fields


def edge_models():
    """Return the mutant of every law of edge models."""
    return {
        "finds_an_ellipse": _changed(_tilted),
        "a_quarter_turn_turns_the_edges": _changed(_mirrored),
        "a_shift_shifts_the_edges": _changed(_of_pixel_parity),
        "grey_values_may_be_scaled": _changed(_absolute),
        "nothing_has_no_edges": _changed(_sees_rounding),
        "the_image_is_left_alone": ("mutant", _overwrites),
    }
