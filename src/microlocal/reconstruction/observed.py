"""From an observation to an image: run the method, keep what is known exactly, say what was measured, certify."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from microlocal.certificates.base import Certificate
from microlocal.certificates.data import certify_residual
from microlocal.certificates.operators import certify_adjoint
from microlocal.core.checks import refuse_sizes
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.provenance import Provenance
from microlocal.core.registry import Entry, registered
from microlocal.reconstruction.data_fit import fitted
from microlocal.reconstruction.images.estimate import ImageEstimate
from microlocal.reconstruction.method import Estimate, Settings, unused
from microlocal.reconstruction.observation import Observation

KIND = "observation-method"
MIXED = "The operator mixes pixels, so that of a single one it is not said whether it was measured."
UNSEEN = "{} pixels have no influence on the data: whatever stands there comes from the {}."
ALL_NOISE = "The noise is as large as the data: nothing in the image can be told from it."
WRONG_ADJOINT = "The operator's adjoint is not its transpose: methods that iterate are misled by it. Mend it first."


def observation_method(name: str) -> Entry:
    """Return a method by name; raises InputError for one that needs a scan, UnknownNameError for no method at all."""
    known = registered(KIND)
    if name in known:
        return known[name]
    if name in registered("method"):
        do = f"Take one of {', '.join(known)}, or give a Scan."
        raise InputError("reconstruct", expected="a method of any operator", got=f"{name}, which needs rays", do=do)
    raise UnknownNameError("reconstruct", name, known)


def reconstruct_observation(
    observation: Observation, method: str, settings: Settings, residual: float | None = None
) -> ImageEstimate:
    """Return the image by a registered method, with what can be told of it; ``residual`` as for ``reconstruct``."""
    entry = observation_method(method)
    if not bool(observation.data.any()):
        do = "Check the data: nothing was recorded."
        raise InputError("reconstruct", expected="data that are not zero", got="zeros only", do=do)
    refuse_sizes(observation.data, "reconstruct")
    if not bool(observation.seen.any()):
        name, do = type(observation.operator).__name__, "Check the operator: it makes zeros of everything."
        raise InputError("reconstruct", expected="an operator that sees pixels", got=f"{name}: none", do=do)
    estimate: Estimate = entry.member(observation, settings)
    if residual is not None:
        estimate = fitted(estimate, observation.operator, observation.data, residual, settings.progress)
    return told(observation, replace(estimate, notes=(*estimate.notes, *unused(settings, estimate))), method)


def told(observation: Observation, estimate: Estimate, method: str) -> ImageEstimate:
    """Return an estimate with residual, noise, provenance and certificates.

    Pixels that exact data hold singly are these numbers, whatever the method made of them.
    """
    operator, data = observation.operator, observation.data
    sigma, image, notes = observation.sigma(), estimate.image, list(estimate.notes)
    if observation.single:
        notes.append(f"{100 * (1 - float(observation.seen.double().mean())):.3g} % of the pixels were filled in.")
        if sigma == 0.0:
            image = torch.where(observation.seen, observation.from_pixels(data), image)
            notes.append("The known pixels were kept.")
        else:
            notes.append("The known pixels were changed by the method, since the data have noise.")
    learned = str(estimate.config.get("network", "none")) != "none"
    provenance = provenance_of(observation, learned=learned)
    unseen = int((~observation.seen).sum())
    if not observation.single:
        notes += [UNSEEN.format(unseen, "network" if learned else "prior")] * bool(unseen) + [MIXED]
    certificates = _certificates(observation, replace(estimate, image=image))
    loud = sigma is not None and sigma * math.sqrt(observation.count) >= float(data.norm())
    notes += [ALL_NOISE] * loud + [WRONG_ADJOINT] * (not certificates[0].holds)
    return ImageEstimate(
        image=image,
        residual=data - operator(image),
        noise=torch.full(observation.batch, math.nan if sigma is None else sigma, dtype=data.real.dtype),
        config={"method": method} | estimate.config,
        notes=tuple(notes),
        history=estimate.history,
        certificates=(*certificates, *estimate.certificates),
        provenance=provenance.expand(image.shape).clone(),
    )


def provenance_of(observation: Observation, *, learned: bool) -> UInt8[Tensor, "..."]:
    """Return where every pixel of the image or volume comes from, as codes of ``core.provenance``.

    Pixels without influence on the data are learned where a network filled them in, and undetermined otherwise; others
    are measured where every number is one pixel, and NONE where numbers mix pixels: then nothing is said of one.
    """
    known = Provenance.MEASURED if observation.single else Provenance.NONE
    rest = Provenance.LEARNED if learned else Provenance.UNDETERMINED
    filled = torch.full(observation.shape, int(rest), dtype=torch.uint8)
    return filled.masked_fill(observation.seen, int(known))


def _certificates(observation: Observation, estimate: Estimate) -> tuple[Certificate, ...]:
    """Certify the adjoint, and the residual: below its target, or below that of the zero image for methods without."""
    target = min(1.1 * float(estimate.config.get("target residual", 1 / 1.1)), 1.0)
    operator, data = observation.operator, observation.data
    image: Float[Tensor, ...] = estimate.image
    return certify_adjoint(operator), certify_residual(operator, image, data, target)
