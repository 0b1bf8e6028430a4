"""The laws of reconstruction methods, on a toy scan."""

from dataclasses import replace

import torch
from torch import Tensor

from microlocal.reconstruction.toy import MethodTrial
from microlocal.testing.violation import expect


def beats_its_declared_baseline(trial: MethodTrial) -> None:
    """The relative error stays below the declared share of the baseline's."""
    ours = _error(trial.run(trial.scan).image, trial.truth)
    allowed = trial.factor * _error(trial.baseline(trial.scan), trial.truth)
    expect(ours < allowed, f"{trial.name}: error {ours:.4f}, promised below {allowed:.4f}")


def runs_repeat(trial: MethodTrial) -> None:
    """The same scan and settings give the same image, bit for bit."""
    first, second = trial.run(trial.scan).image, trial.run(trial.scan).image
    gap = float((first - second).abs().max())
    expect(gap == 0.0, f"{trial.name}: two runs differ by {gap:.3g}")


def the_unit_does_not_matter(trial: MethodTrial) -> None:
    """Attenuation in another unit scales the image and changes nothing else."""
    plain = trial.run(trial.scan).image
    scaled = trial.run(trial.rescaled(1000.0)).image / 1000.0
    gap = _error(scaled, plain)
    expect(gap < 0.02, f"{trial.name}: another unit changes the image by {gap:.3g}")


def a_stack_keeps_its_slices(trial: MethodTrial) -> None:
    """A batch axis is kept: as many images as sinograms, on the grid, and equal slices give equal images."""
    scan = trial.scan
    images = trial.run(replace(scan, data=torch.stack((scan.data, scan.data)))).image
    expect(tuple(images.shape) == (2, *trial.truth.shape), f"{trial.name}: a stack of 2 became {tuple(images.shape)}")
    gap = _error(images[0], images[1])
    expect(gap < 1e-4, f"{trial.name}: equal slices differ by {gap:.3g}")


def the_scan_is_left_alone(trial: MethodTrial) -> None:
    """The method does not write into the data it was given."""
    before = trial.scan.data.clone()
    trial.run(trial.scan)
    expect(bool((trial.scan.data == before).all()), f"{trial.name} changed the scan's data")


def _error(image: Tensor, truth: Tensor) -> float:
    return float((image - truth).norm() / truth.norm())


LAWS = (
    beats_its_declared_baseline,
    runs_repeat,
    the_unit_does_not_matter,
    a_stack_keeps_its_slices,
    the_scan_is_left_alone,
)
