"""The shipped weights: described, small, and worth having on objects that they were not trained on."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import microlocal as ml
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import random_object
from microlocal.networks.catalogue import described
from microlocal.networks.weights import load_weights, shipped_weights
from microlocal.reconstruction.quality import mcc, psnr

LTI = "learn-the-invisible"
FACTS = ("parameters", "version", "trained on", "command", "minutes")
OF_TRAINING = ("command", "seed", "minutes", "steps", "device", "metrics", "recipe")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@pytest.mark.parametrize("name", sorted(shipped_weights()))
def test_a_card_says_how_its_weights_were_made(name):
    state, card = load_weights(shipped_weights()[name])  # compares the checksum
    assert not [fact for fact in FACTS if not card.get(fact)]
    assert sum(values.numel() for values in state.values()) >= card["parameters"]
    assert card["command"].startswith("microlocal weights " if "members" in card else "microlocal train recipes/")
    for training in card.get("members", [card]):
        assert not [fact for fact in OF_TRAINING if not training.get(fact) and training.get(fact) != 0]
        recipe = training["command"].removeprefix("microlocal train recipes/").split()[0]
        assert _but_steps((RECIPES / recipe).read_text()) == _but_steps(training["recipe"])
        assert training["steps"] == training["of_steps"]
    assert described(name).trained_on() != "not recorded"


def _but_steps(recipe):
    """Return what a recipe says, but for the number of steps, which --steps may change."""
    fields = tomllib.loads(recipe)
    del fields["run"]["steps"]
    return fields


def test_all_together_are_small():
    sizes = [path.stat().st_size for path in shipped_weights().values()]
    assert sizes
    assert sum(sizes) <= 15 * 2**20


def _scan(family, seed, grid, geometry, noise):
    draw = np.random.default_rng([seed, 77])
    thing = random_object(family, draw, grid)
    made = simulate(thing, geometry, draw, Measurement(noise=(noise, noise)))
    truth = torch.from_numpy(thing.image(grid)).float()
    return truth, ml.Scan(torch.from_numpy(made.data).float(), geometry, grid)


def test_ellipses_from_120_degrees_gain_a_decibel_at_any_orientation():
    grid, gains = ml.Grid((128, 128), 1.0), []
    for seed, orientation in enumerate((0.0, 0.7, 1.9, 4.0)):
        angles = orientation + np.radians(np.arange(0.0, 120.0, 1.5))
        truth, scan = _scan("ellipses", seed, grid, ml.ParallelBeam(tuple(angles), ml.Detector(181, 1.0)), 0.02)
        result = ml.reconstruct(scan, LTI)
        assert result.config["network"] == "parallel"
        assert next(c for c in result.certificates if "contradict" in c.claim).holds
        gains.append(float(psnr(result.image, truth) - psnr(result.visible, truth)))
    assert min(gains) > 0
    assert np.mean(gains) > 1.0


@pytest.mark.parametrize(("views", "network"), [(64, "helsinki"), (150, "helsinki"), (260, "none")])
def test_a_disc_with_holes_is_completed_from_a_short_arc_only(views, network):
    grid = ml.Grid((128, 128), 0.5932892)
    angles = tuple(math.radians(0.5) * np.arange(views) + 1.0)
    detector = ml.Detector(140, 0.8)
    geometry = ml.FanBeam(angles, detector, source_axis=410.66, source_detector=553.74)
    truth, scan = _scan("disc-with-holes", 2, grid, geometry, 0.005)
    result = ml.reconstruct(scan, LTI)
    assert result.config["network"] == network
    if network == "none":  # the method of f* is that of the weights nevertheless
        assert torch.equal(result.image, ml.reconstruct(scan, "directional-tv").image)
    else:
        assert float(mcc(result.image, truth)) > float(mcc(result.visible, truth))
