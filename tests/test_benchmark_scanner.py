"""What a scanner adds is found again in simulated measurements."""

import numpy as np
import pytest

from benchmarks import scanner
from microlocal.core import Detector, ParallelBeam
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import Object
from microlocal.data.phantoms import Ellipse

OBJECT = Object((Ellipse(1.0, (30.0, 27.0)), Ellipse(-1.0, (6.0, 9.0), (8.0, 3.0), 0.4)))
SCANNER = ParallelBeam(tuple(np.linspace(0, 2 * np.pi, 360, endpoint=False)), Detector(80, 1.0))


def found(seed: int, **ranges: float) -> scanner.Additions:
    spans = {name: (value, value) for name, value in ranges.items()}
    made = simulate(OBJECT, SCANNER, np.random.default_rng(seed), Measurement(**spans))
    return scanner.additions(OBJECT.sinogram(SCANNER, 3), made.data, SCANNER.angles)


def test_nothing_is_found_where_nothing_was_added():
    nothing = found(0)
    assert max(nothing.hardening, nothing.drift, nothing.rings, nothing.noise) < 1e-9


def test_hardening_and_air_are_told_apart():
    added = found(0, hardening=0.25, air=0.01)
    assert added.hardening == pytest.approx(0.25, rel=1e-6)
    assert max(added.drift, added.rings, added.noise) < 1e-9


def test_a_drift_has_its_standard_deviation_on_the_average():
    drifts = [found(seed, drift=0.01).drift for seed in range(40)]
    assert np.sqrt(np.mean(np.square(drifts))) == pytest.approx(0.01, rel=0.2)


def test_rings_and_noise_are_found_beside_all_others():
    added = found(3, hardening=0.2, air=0.01, drift=0.004, rings=0.003, noise=0.01)
    clean = OBJECT.sinogram(SCANNER, 3)
    level = 0.01 * np.linalg.norm(clean) / np.sqrt(clean.size) / clean.max()
    assert added.hardening == pytest.approx(0.2, rel=0.1)
    assert added.rings == pytest.approx(0.003 / 0.8, rel=0.3)  # relative to what hardening leaves
    assert added.noise == pytest.approx(level, rel=0.3)
