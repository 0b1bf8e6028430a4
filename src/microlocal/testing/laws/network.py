"""The laws of networks that state what is proved of them."""

import copy
import math

import torch

from microlocal.certificates.attack import Search
from microlocal.certificates.maps import Certified, certify_map
from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.networks.trial import NetworkTrial
from microlocal.testing.violation import LawViolation, expect

SEARCH = Search(starts=3, steps=25)
SIZES = (1e-30, 1e-14, 1e-9, 1e6)  # of signals, beside those of the attacks


def states_something(trial: NetworkTrial) -> None:
    """Something finite is proved, and every hypothesis of the proof holds."""
    network = trial.build()
    if not isinstance(network, Certified):
        raise LawViolation(f"{trial.name} has no guarantee() or no hypotheses()")
    proved = network.guarantee()
    known = math.isfinite(min(proved.gain, proved.lipschitz)) or proved.range
    expect(known, f"{trial.name} proves nothing")
    broken = [h.statement for h in network.hypotheses() if not h.holds]
    expect(not broken and bool(network.hypotheses()), f"{trial.name}: hypotheses {broken or 'missing'}")


def survives_the_attack(trial: NetworkTrial) -> None:
    """No search finds an input beyond a bound."""
    _attacked(trial, trial.build(), "as built")


def survives_training(trial: NetworkTrial) -> None:
    """What is proved stays true after large steps of an optimiser in random directions."""
    network = trial.build()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.3)
    for seed in range(3):
        optimiser.zero_grad()
        u = torch.randn(2, *trial.shape, generator=generator(seed))
        target = torch.randn(network(u).shape, generator=generator(seed + 9))
        (network(u) * target).sum().backward()
        optimiser.step()
    _attacked(trial, network, "after training")


def survives_writing_and_reading(trial: NetworkTrial) -> None:
    """A network filled with the state of another states and computes the same."""
    network, other = trial.build(), trial.build()
    for value in network.parameters():
        value.data.add_(0.1 * torch.randn(value.shape, generator=generator(3)))
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    expect(other.guarantee() == network.guarantee(), f"{trial.name}: the guarantee changes with the file")  # type: ignore[operator]
    u = torch.randn(1, *trial.shape, generator=generator(1))
    gap = float((network(u) - other(u)).detach().abs().max())
    expect(gap == 0, f"{trial.name}: the result changes by {gap:.3g} with the file")


def no_signal_is_too_small(trial: NetworkTrial) -> None:
    """A bound of norms and distances holds for signals of any size: a floor under a division may not show."""
    network = trial.build().double()
    proved = network.guarantee()  # type: ignore[operator]
    for size in SIZES:
        u = size * torch.randn(2, *trial.shape, dtype=torch.float64, generator=generator(5))
        d = size * torch.randn(2, *trial.shape, dtype=torch.float64, generator=generator(6))
        with torch.no_grad():
            here, there = network(u), network(u + d)
        for what, bound, after, before in (
            ("norms", proved.gain, here, u),
            ("distances", proved.lipschitz, there - here, d),
        ):
            grown = float(after.norm() / before.norm())
            expect(
                grown <= bound * (1 + 1e-9), f"{trial.name}: {what} of size {size:g} grow by {grown:.6g} > {bound:.6g}"
            )


def precision_is_kept(trial: NetworkTrial) -> None:
    """float64 in, float64 out, and both precisions agree."""
    network = trial.build()
    u = torch.randn(2, *trial.shape, generator=generator(2))
    plain, exact = network(u), network.double()(u.double())
    expect((plain.dtype, exact.dtype) == (torch.float32, torch.float64), f"{trial.name}: {plain.dtype}, {exact.dtype}")
    gap = float((plain - exact).detach().abs().max() / exact.detach().abs().max())
    expect(gap <= 1e-4, f"{trial.name}: float32 is off by {gap:.3g}")


def images_do_not_meet(trial: NetworkTrial) -> None:
    """What else is in the batch changes nothing."""
    network = trial.build()
    u = torch.randn(3, *trial.shape, generator=generator(4))
    gap = float((network(u)[1:2] - network(u[1:2])).detach().abs().max())
    expect(gap <= 1e-5, f"{trial.name}: a neighbour in the batch changes an image by {gap:.3g}")


def not_a_number_proves_nothing(trial: NetworkTrial) -> None:
    """Weights that are not numbers are refused: comparisons with them say nothing."""
    network = trial.build()
    for value in network.parameters():
        value.data[(0,) * value.ndim] = math.nan
    try:
        found = certify_map(network, trial.shape, SEARCH)
    except InputError:
        return
    expect(not any(c.holds for c in found), f"{trial.name}: certified although its weights are not numbers")


def _attacked(trial: NetworkTrial, network: torch.nn.Module, when: str) -> None:
    for seed in range(2):
        for certificate in certify_map(network, trial.shape, SEARCH):
            found = certificate.falsify(seed)
            expect(found <= certificate.bound, f"{trial.name} {when}: {certificate.claim} refuted by {found:.9g}")


LAWS = (
    states_something,
    survives_the_attack,
    survives_training,
    survives_writing_and_reading,
    no_signal_is_too_small,
    precision_is_kept,
    images_do_not_meet,
    not_a_number_proves_nothing,
)
