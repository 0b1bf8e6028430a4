"""Methods for plain images broken in one way each."""

from dataclasses import replace

import torch

from microlocal.reconstruction.images import denoise
from microlocal.reconstruction.images.trial import noisy_trial


def _trial(run):
    return noisy_trial("mutant", run, lambda y: y, 0.5)


def _changed(change):
    def run(y):
        estimate = denoise(y)
        return replace(estimate, image=change(estimate.image))

    return run


def _overwrites(y):
    estimate = denoise(y)
    y.mul_(0.5)
    return estimate


def _one_threshold_for_all(y):
    return denoise(y, noise=0.15 * float(y.abs().max()) / 1.9)


def _refuses_nothing(y):
    whole = torch.nan_to_num(y.float()).expand(48, 48)
    return denoise(whole)


def image_methods():
    """Return the mutant of every law of image methods."""
    return {
        "beats_its_declared_baseline": _trial(_changed(lambda x: 0.1 * x)),
        "runs_repeat": _trial(_changed(lambda x: x * (1 + 1e-3 * torch.rand(())))),
        "the_unit_does_not_matter": _trial(lambda y: denoise(y, noise=0.15)),
        "a_batch_is_treated_image_by_image": _trial(_one_threshold_for_all),
        "precision_is_kept": _trial(_changed(lambda x: x.float())),
        "the_data_are_left_alone": _trial(_overwrites),
        "what_is_no_image_is_refused": _trial(_refuses_nothing),
    }
