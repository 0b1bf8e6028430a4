"""What results show of themselves in a terminal: one line, whatever they hold."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import microlocal as ml
from microlocal.core.brief import Brief
from microlocal.data import needle


@dataclass(repr=False)
class Held(Brief):
    value: Any
    nothing: tuple[str, ...] = field(default_factory=tuple)


def test_arrays_are_told_by_kind_and_shape_and_numbers_by_value():
    assert repr(Held(torch.zeros(2, 3, dtype=torch.uint8))) == "Held(value=uint8 (2, 3))"
    assert repr(Held(np.zeros((0, 3)))) == "Held(value=float64 (0, 3))"
    assert repr(Held(torch.tensor(1 / 3))) == "Held(value=0.333333)"
    assert repr(Held(np.array(7))) == "Held(value=7)"
    assert repr(Held(None)) == "Held()"


def test_what_is_long_is_counted_or_named():
    assert (
        repr(Held(("a sentence of more than half a line", "and another one as long as that")))
        == "Held(value=(2 x str))"
    )
    assert repr(Held({"rule": 1, "strength": list(range(100))})) == "Held(value={rule, strength})"
    assert repr(Held({f"a long name {k}": k for k in range(20)})) == "Held(value={20 entries})"
    assert repr(Held(ml.ParallelBeam(tuple(np.linspace(0, 3, 180)), ml.Detector(5, 1.0)))) == "Held(value=ParallelBeam)"


def test_a_scan_and_its_reconstruction_take_one_line():
    scan = needle().slices(0)
    result = ml.reconstruct(scan, "fbp")
    for shown in (repr(scan), repr(result), repr(ml.edges(result.image))):
        assert "\n" not in shown
        assert len(shown) < 500
    assert repr(result).startswith("Reconstruction(image=float32 (256, 256), scan=Scan, method='fbp'")
