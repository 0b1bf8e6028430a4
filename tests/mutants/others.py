"""Functionals, solvers, certificates and methods broken in one way each."""

from dataclasses import replace

import torch

from microlocal.certificates import Certificate, Hypothesis, Kind
from microlocal.functionals import SquaredDistance, WeightedL1
from microlocal.reconstruction import fbp
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.solvers.cgls import cgls
from microlocal.solvers.trial import Trial, least_squares_answer, small_scan


class HalfShrinkage(WeightedL1):
    """Shrinks by half the threshold."""

    def prox(self, x, step):
        return super().prox(x, 0.5 * step)


class SeparateParts(WeightedL1):
    """Shrinks the real and the imaginary part of complex numbers each for itself."""

    def prox(self, x, step):
        if not x.is_complex():
            return super().prox(x, step)
        return torch.complex(super().prox(x.real, step), super().prox(x.imag, step))


class WrongConjugate(WeightedL1):
    """The conjugate projects on twice the ball."""

    def conjugate_prox(self, y, step):
        return 2 * super().conjugate_prox(y / 2, step)


class HardThreshold(WeightedL1):
    """Keeps large entries whole: not convex."""

    def prox(self, x, step):
        return x * (x.abs() > step * self.weights)


class HalfGradient(SquaredDistance):
    """Forgets the factor that the value has."""

    def grad(self, x):
        return 0.5 * super().grad(x)


class SmallLipschitz(SquaredDistance):
    """Declares half the Lipschitz constant."""

    def lipschitz_bound(self):
        return 0.5 * self.weight


def functionals():
    """Return the mutant of every law of functionals."""
    return {
        "prox_beats_brute_force": HalfShrinkage(0.7),
        "moreau_identity_holds": WrongConjugate(0.7),
        "prox_is_firmly_nonexpansive": HardThreshold(0.7),
        "gradient_matches_differences": HalfGradient(torch.zeros(1)),
        "lipschitz_bound_is_a_bound": SmallLipschitz(torch.zeros(1)),
    }


def _trial(run, **changes) -> Trial:
    ray, matrix, data = small_scan()
    honest = Trial(
        "mutant",
        lambda b, driver: run(ray, b, driver),
        data,
        least_squares_answer(matrix, data, 0.0),
        "residual",
        lambda x: float((data - ray(x)).norm() / data.norm()),
    )
    return replace(honest, **changes)


def _never_converges(ray, b, driver):
    return cgls(ray, b, replace(driver, tolerance=0.0))


def _ignores_checkpoints(ray, b, driver):
    return cgls(ray, b, replace(driver, checkpoint=None))


def _ignores_nan(ray, b, driver):
    return cgls(ray, torch.nan_to_num(b), driver)


def _drops_the_iterate(ray, b, driver):
    solution = cgls(ray, b, driver)
    return replace(solution, value=0 * solution.value) if solution.stats["iterations"] < driver.iterations else solution


def _flatters_itself(ray, b, driver):
    solution = cgls(ray, b, driver)
    return replace(solution, history={k: [0.5 * v for v in values] for k, values in solution.history.items()})


def _damped(ray, b, driver):
    return cgls(ray, b, driver, damping=0.1)


def solvers():
    """Return the mutant of every law of solvers."""
    return {
        "reaches_the_known_answer": _trial(_damped),
        "two_runs_make_one": _trial(_ignores_checkpoints),
        "history_is_what_was_measured": _trial(_flatters_itself),
        "stops_when_the_residual_is_met": _trial(_never_converges),
        "not_a_number_stops_it": _trial(_ignores_nan),
        "interruption_keeps_the_iterate": _trial(_drops_the_iterate),
    }


class ForgetsBound(Certificate):
    """Writes a rounded bound."""

    def to_dict(self):
        return super().to_dict() | {"bound": round(self.bound)}


class HoldsUnlessRefuted(Certificate):
    """Holds where its value is not above the bound, and so for what is no number."""

    @property
    def holds(self):
        return not self.value > self.bound


def _claim(**changes) -> Certificate:
    fields = {"claim": "x <= 1.4", "kind": Kind.BOUNDED, "value": 1.0, "bound": 1.4, "attack": lambda seed: 1.0}
    return Certificate(**(fields | changes))


def certificates():
    """Return the mutant of every law of certificates."""
    return {
        "holds_as_issued": _claim(hypotheses=(Hypothesis("the data are finite", "3 NaN", False),)),
        "survives_the_attack": _claim(attack=lambda seed: 1.0 + 0.3 * seed),
        "can_be_attacked": _claim(attack=None),
        "survives_writing_and_reading": ForgetsBound("x <= 1.4", Kind.BOUNDED, 1.0, 1.4),
        "proofs_rest_on_hypotheses": _claim(kind=Kind.PROVED),
        "not_a_number_never_holds": HoldsUnlessRefuted("x <= 1.4", Kind.BOUNDED, 1.0, 1.4),
    }


def _method(run) -> MethodTrial:
    return trial("mutant", run, lambda scan: torch.zeros(scan.grid.shape), 0.6)


def _dim(scan, grid, settings):
    estimate = fbp(scan, grid, settings)
    return replace(estimate, image=0.1 * estimate.image)


def _moody(scan, grid, settings):
    estimate = fbp(scan, grid, settings)
    return replace(estimate, image=estimate.image * (1 + 1e-3 * torch.rand(())))


def _absolute(scan, grid, settings):
    return fbp(replace(scan, data=scan.data.clamp(max=5.0)), grid, settings)


def _first_slice_only(scan, grid, settings):
    return fbp(replace(scan, data=scan.data.reshape(-1, *scan.geometry.shape)[0]), grid, settings)


def _overwrites(scan, grid, settings):
    estimate = fbp(scan, grid, settings)
    scan.data.mul_(0.5)
    return estimate


def methods():
    """Return the mutant of every law of methods."""
    return {
        "beats_its_declared_baseline": _method(_dim),
        "runs_repeat": _method(_moody),
        "the_unit_does_not_matter": _method(_absolute),
        "a_stack_keeps_its_slices": _method(_first_slice_only),
        "the_scan_is_left_alone": _method(_overwrites),
    }
