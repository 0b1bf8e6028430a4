"""Every law catches its mutant, with a message, and every law has one."""

import pytest

from microlocal.networks.trial import NetworkTrial
from microlocal.testing import LawViolation, laws
from microlocal.testing.laws import frame, functional
from tests.mutants import edge_models as broken_edge_models
from tests.mutants import image_methods as broken_image_methods
from tests.mutants import networks as broken_networks
from tests.mutants import nonlinearities as broken_nonlinearities
from tests.mutants import objects as broken_objects
from tests.mutants import observation_methods as broken_observation_methods
from tests.mutants import operators as broken_operators
from tests.mutants import others
from tests.mutants import tasks as broken_tasks

MUTANTS = {
    "operator": (laws("operator"), broken_operators.operators()),
    "frame": (frame.LAWS, broken_operators.frames()),
    "functional": (laws("functional"), others.functionals()),
    "solver": (laws("solver"), others.solvers()),
    "certificate": (laws("certificate"), others.certificates()),
    "method": (laws("method"), others.methods()),
    "observation-method": (laws("observation-method"), broken_observation_methods.observation_methods()),
    "edge-model": (laws("edge-model"), broken_edge_models.edge_models()),
    "image-method": (laws("image-method"), broken_image_methods.image_methods()),
    "network": (laws("network"), broken_networks.networks()),
    "nonlinearity": (laws("nonlinearity"), broken_nonlinearities.nonlinearities()),
    "objects": (laws("objects"), broken_objects.objects()),
    "task": (laws("task"), broken_tasks.tasks()),
}


@pytest.mark.parametrize(
    ("law", "mutant"),
    [
        pytest.param(law, mutants[law.__name__], id=f"{kind}-{law.__name__}")
        for kind, (members, mutants) in MUTANTS.items()
        for law in members
    ],
)
def test_law_catches_its_mutant(law, mutant):
    with pytest.raises(LawViolation) as caught:
        law(mutant)
    assert len(str(caught.value)) > 20


def test_no_mutant_without_a_law():
    for members, mutants in MUTANTS.values():
        assert set(mutants) == {law.__name__ for law in members}


@pytest.mark.parametrize("law", [functional.prox_beats_brute_force, functional.moreau_identity_holds])
def test_the_laws_of_functionals_look_at_complex_numbers(law):
    with pytest.raises(LawViolation, match="complex128"):
        law(others.SeparateParts(0.7))


@pytest.mark.parametrize("law", laws("network"))
def test_a_network_without_a_fault_passes(law):
    law(NetworkTrial("halved", broken_networks.Halved, broken_networks.SHAPE))
