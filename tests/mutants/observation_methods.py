"""Methods for observations broken in one way each."""

from dataclasses import replace

import torch

from microlocal.operators import Convolution
from microlocal.reconstruction.cgls import cgls_of_observation
from microlocal.reconstruction.toy import observation_trial


def _trial(run):
    return observation_trial("mutant", run, lambda o: torch.zeros(o.shape), 0.6)


def _changed(change):
    def run(observation, settings):
        estimate = cgls_of_observation(observation, settings)
        return replace(estimate, image=change(estimate.image))

    return _trial(run)


def _absolute(observation, settings):
    return cgls_of_observation(replace(observation, data=observation.data.clamp(max=1.0)), settings)


def _first_only(observation, settings):
    data = observation.data.reshape(-1, *observation.operator.codomain_shape)[0]
    return cgls_of_observation(replace(observation, data=data), settings)


def _overwrites(observation, settings):
    estimate = cgls_of_observation(observation, settings)
    observation.data.mul_(0.5)
    return estimate


def _looks_at_the_class(observation, settings):
    known = isinstance(observation.operator, Convolution)
    estimate = cgls_of_observation(observation, settings)
    return estimate if known else replace(estimate, image=0.9 * estimate.image)


def observation_methods():
    """Return the mutant of every law of methods for observations."""
    return {
        "beats_its_declared_baseline": _changed(lambda x: 0.1 * x),
        "runs_repeat": _changed(lambda x: x * (1 + 1e-3 * torch.rand(()))),
        "the_unit_does_not_matter": _trial(_absolute),
        "a_stack_keeps_its_slices": _trial(_first_only),
        "the_scan_is_left_alone": _trial(_overwrites),
        "the_operator_may_be_a_matrix": _trial(_looks_at_the_class),
    }
