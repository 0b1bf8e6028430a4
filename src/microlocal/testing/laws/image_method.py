"""The laws of methods for plain images."""

import torch
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.reconstruction.images.trial import ImageTrial
from microlocal.testing.violation import LawViolation, expect


def beats_its_declared_baseline(trial: ImageTrial) -> None:
    """The relative error stays below the declared share of the baseline's."""
    ours = _error(trial.run(trial.data).image, trial.truth)
    allowed = trial.factor * _error(trial.baseline(trial.data), trial.truth)
    expect(ours < allowed, f"{trial.name}: error {ours:.4f}, promised below {allowed:.4f}")


def runs_repeat(trial: ImageTrial) -> None:
    """The same image gives the same estimate, bit for bit."""
    gap = float((trial.run(trial.data).image - trial.run(trial.data).image).abs().max())
    expect(gap == 0.0, f"{trial.name}: two runs differ by {gap:.3g}")


def the_unit_does_not_matter(trial: ImageTrial) -> None:
    """An image in another unit gives the same estimate in that unit."""
    plain = trial.run(trial.data).image
    gap = _error(trial.run(1000.0 * trial.data).image / 1000.0, plain)
    expect(gap < 0.01, f"{trial.name}: another unit changes the image by {gap:.3g}")


def a_batch_is_treated_image_by_image(trial: ImageTrial) -> None:
    """A brighter neighbour in the batch changes nothing, and the batch axes are kept."""
    alone = trial.run(trial.data).image
    together = trial.run(torch.stack((trial.data, 5.0 * trial.data)).unsqueeze(1)).image
    expected = (2, 1, *alone.shape)
    expect(tuple(together.shape) == expected, f"{trial.name}: {expected} became {tuple(together.shape)}")
    gap = _error(together[0, 0], alone)
    expect(gap < 0.01, f"{trial.name}: a neighbour changes an image by {gap:.3g}")


def precision_is_kept(trial: ImageTrial) -> None:
    """float64 in, float64 out, and the residual likewise."""
    estimate = trial.run(trial.data.double())
    got = (estimate.image.dtype, estimate.residual.dtype)
    expect(got == (torch.float64, torch.float64), f"{trial.name}: float64 became {got}")


def the_data_are_left_alone(trial: ImageTrial) -> None:
    """The method does not write into the image it was given."""
    kept = trial.data.clone()
    trial.run(kept)
    expect(bool((kept == trial.data).all()), f"{trial.name} changed its data")


def what_is_no_image_is_refused(trial: ImageTrial) -> None:
    """A single line, whole numbers and values that are not finite raise InputError."""
    hole = trial.data.clone()
    hole[tuple(torch.nonzero(trial.data)[0])] = torch.nan
    for wrong, what in ((trial.data[0], "a line"), (trial.data.int(), "whole numbers"), (hole, "NaN")):
        try:
            trial.run(wrong)
        except InputError:
            continue
        raise LawViolation(f"{trial.name} accepted {what}")


def _error(image: Tensor, truth: Tensor) -> float:
    return float((image - truth).norm() / truth.norm())


LAWS = (
    beats_its_declared_baseline,
    runs_repeat,
    the_unit_does_not_matter,
    a_batch_is_treated_image_by_image,
    precision_is_kept,
    the_data_are_left_alone,
    what_is_no_image_is_refused,
)
