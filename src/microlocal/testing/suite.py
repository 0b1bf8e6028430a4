"""All laws by kind, and the one function that holds a sample to them."""

from collections.abc import Callable
from typing import Any

import microlocal.certificates
import microlocal.data
import microlocal.dictionary
import microlocal.frames
import microlocal.functionals
import microlocal.networks
import microlocal.operators
import microlocal.reconstruction
import microlocal.solvers
import microlocal.training  # noqa: F401 - importing the rooms registers their members
from microlocal.core.registry import registered
from microlocal.testing.laws import (
    certificate,
    edge_model,
    frame,
    functional,
    image_method,
    method,
    network,
    nonlinearity,
    objects,
    observation_method,
    operator,
    solver,
    task,
)

Law = Callable[[Any], None]

_LAWS: dict[str, tuple[Law, ...]] = {
    "operator": operator.LAWS,
    "frame": (*operator.LAWS, *frame.LAWS),
    "functional": functional.LAWS,
    "solver": solver.LAWS,
    "certificate": certificate.LAWS,
    "method": method.LAWS,
    "observation-method": observation_method.LAWS,
    "image-method": image_method.LAWS,
    "edge-model": edge_model.LAWS,
    "objects": objects.LAWS,
    "nonlinearity": nonlinearity.LAWS,
    "network": network.LAWS,
    "task": task.LAWS,
}


def laws(kind: str) -> tuple[Law, ...]:
    """Return the laws of ``kind``, a key of the table above: "operator", "frame", "image-method", …"""
    return _LAWS[kind]


def check(kind: str, sample: Any) -> None:
    """Hold one sample to every law of its kind; raises LawViolation at the first that is broken."""
    for law in laws(kind):
        law(sample)


def cases() -> list[tuple[str, int, Any, Law]]:
    """Return (name, sample number, sample, law) for every registered member with samples, for a test to run over."""
    return [
        (name, number, sample, law)
        for kind in _LAWS
        for name, entry in registered(kind).items()
        if entry.samples is not None
        for number, sample in enumerate(entry.samples())
        for law in laws(kind)
    ]
