"""What can be certified of a map of images that states its guarantees: each a claim that an attack tries to refute."""

import math
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from microlocal.certificates.attack import (
    Score,
    Search,
    Stepwise,
    bursts,
    crossings,
    drift,
    gain,
    noises_of,
    overshoot,
    picture,
    spread,
    worst,
)
from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.guarantee import Guarantee, weakest
from microlocal.core.errors import InputError
from microlocal.core.registry import register

ROUNDING = 1e-9  # what rounding may add in float64
LEAST_BITS = 32  # of numbers whose rounding is none of what is claimed


class _ByMethods(type(Protocol)):  # type: ignore[misc]
    """Asks the object itself: from Python 3.12 on protocols do not, and compiled modules answer by __getattr__."""

    def __instancecheck__(cls, instance: object) -> bool:
        return all(callable(getattr(instance, name, None)) for name in ("guarantee", "hypotheses", "forward"))


@runtime_checkable
class Certified(Protocol, metaclass=_ByMethods):
    """A network that states what is proved of it, from its weights as they are now."""

    def guarantee(self) -> Guarantee:
        """Return what is proved."""

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return what the proof rests on, with the values measured on the weights."""

    def forward(self, u: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Return N(u), for a batch of images (batch, channel, row, col)."""


class _Quartered(nn.Module):
    """Three quarters of an image: norms, distances and averagedness are known exactly."""

    def forward(self, u: Tensor) -> Tensor:
        return 0.75 * u

    def guarantee(self) -> Guarantee:
        return Guarantee(gain=0.75, lipschitz=0.75, averaged=0.125)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return (Hypothesis("the factor lies in [-1, 1]", "0.75", True),)


def _samples() -> list[Certificate]:
    return list(certify_map(_Quartered(), (1, 3, 4)))


@register("certificate", "map", samples=_samples, reference="combettes2015")
def certify_map(
    network: nn.Module, shape: Sequence[int], search: Search | None = None, seed: int = 0
) -> tuple[Certificate, ...]:
    """Return a certificate for each thing that is proved of a network, as its weights are.

    ``shape`` of an input, (channel, row, col), for the attacks; the claims hold for every size. The value is what the
    attack of ``seed`` finds; denoisers are told several noise levels. Raises InputError where the network states
    nothing, or a hypothesis is broken.
    """
    return tuple(_certificates(network, shape, search, seed))


def _certificates(network: nn.Module, shape: Sequence[int], search: Search | None, first: int) -> Iterator[Certificate]:
    if not isinstance(network, Certified):
        do = "Give it the methods guarantee() and hypotheses(); docs/certified-networks.md shows how."
        raise InputError("certify_map", expected="a network that states what is proved of it",
                         got=type(network).__name__, do=do)  # fmt: skip
    hypotheses = _sound(hypotheses_of(network, shape))
    for claim, bound, score, reference in claims_of(network):

        def attack(seed: int, score: Score = score) -> float:
            return attacked(network, shape, score, search, seed)

        allowed = bound * (1 + ROUNDING) + ROUNDING
        yield Certificate(claim, Kind.PROVED, attack(first), allowed, hypotheses, reference, attack)


def attacked(
    network: nn.Module,
    shape: Sequence[int],
    score: Score,
    search: Search | None,
    seed: int,
    noises: Sequence[float] | None = None,
) -> float:
    """Return the worst score that a search finds, for denoisers at these noise levels, several usual ones; 0 at least.

    Changes of sign are counted step by step where the network yields its ``states``.
    """
    noises = noises_of(network) if noises is None else noises
    if score is crossings:
        seen = Stepwise(network) if callable(getattr(network, "states", None)) else network
        return max(worst(seen, shape, score, search, seed, bursts(shape), noises)[0], 0.0)
    return max(worst(network, shape, score, search, seed, noises=noises)[0], 0.0)


def hypotheses_of(network: Certified, shape: Sequence[int] | None = None) -> tuple[Hypothesis, ...]:
    """Return what every proof rests on, finite weights, 32 bits or more, modules as written, and what this one's does.

    With the ``shape`` of an input, also that the network does not overflow in the precision of its weights: attacks run
    in float64, and would not see it. Where weights are not finite nothing else can be measured, and the first is the
    only one.
    """
    finite = _finite(network)
    if not finite.holds:
        return (finite,)
    fits = [] if shape is None else [_fits(network, shape)]
    return (finite, _wide(network), _as_written(network), *network.hypotheses(), *fits)


def is_altered(module: nn.Module) -> bool:
    """Return whether a module may compute something else than its class says: by a hook, or a forward of its own.

    Old weight and spectral normalisation and pruning are hooks that make the weights when the module is called, so that
    those it holds before may be others.

    >>> plain = nn.ReLU()
    >>> hooked = nn.ReLU()
    >>> _ = hooked.register_forward_hook(lambda module, given, found: 2 * found)
    >>> is_altered(plain), is_altered(hooked)
    (False, True)
    """
    replaced = "forward" in vars(module) and "_orig_mod" not in module._modules  # compiled modules have one, too
    return bool(module._forward_hooks or module._forward_pre_hooks or replaced)


def is_narrow(value: Shaped[Tensor, "..."]) -> bool:
    """Return whether numbers have 16 bits or less: their rounding moves means and distances by more than is claimed.

    >>> is_narrow(torch.ones(3, dtype=torch.bfloat16)), is_narrow(torch.ones(3))
    (True, False)
    """
    return value.is_floating_point() and torch.finfo(value.dtype).bits < LEAST_BITS


def _wide(network: Certified) -> Hypothesis:
    state = (*network.parameters(), *network.buffers()) if isinstance(network, nn.Module) else ()
    narrow = sorted({str(value.dtype).removeprefix("torch.") for value in state if is_narrow(value)})
    told = f"some have {' and '.join(narrow)}" if narrow else "all have"
    return Hypothesis(f"numbers have {LEAST_BITS} bits or more", told, not narrow)


def _as_written(network: Certified) -> Hypothesis:
    modules = network.named_modules() if isinstance(network, nn.Module) else ()
    altered = [name or type(module).__name__ for name, module in modules if is_altered(module)]
    told = f"{len(altered)} are not: {', '.join(altered[:3])}" if altered else "all are"
    return Hypothesis("modules are as they were written, without hooks", told, not altered)


def _sound(hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
    """Return the hypotheses of a proof as they are; raises InputError, with what was measured, if one is broken."""
    broken = [f"{h.statement}: {h.measured}" for h in hypotheses if not h.holds]
    if broken:
        expected, do = "every hypothesis of the proof to hold", "Train again: nothing is proved of these weights."
        raise InputError("certify_map", expected=expected, got="; ".join(broken[:3]), do=do)
    return hypotheses


def _finite(network: Certified) -> Hypothesis:
    state = (*network.parameters(), *network.buffers()) if isinstance(network, nn.Module) else ()
    broken, total = sum(int((~value.isfinite()).sum()) for value in state), sum(value.numel() for value in state)
    return Hypothesis("all weights are finite", f"{broken} of {total} are not", broken == 0)


def _fits(network: Certified, shape: Sequence[int]) -> Hypothesis:
    """Say whether the result for one picture is finite in the precision of the weights."""
    state = (*network.parameters(), *network.buffers()) if isinstance(network, nn.Module) else ()
    like = next((value for value in state if value.is_floating_point()), torch.zeros(()))
    with torch.no_grad():
        found = network.forward(picture(shape).to(like))
    broken, kind = int((~found.isfinite()).sum()), str(like.dtype).removeprefix("torch.")
    statement = f"the result for a picture is finite in {kind}"
    return Hypothesis(statement, f"{broken} of {found.numel()} values are not", broken == 0)


def proved_at(network: Certified, noises: Sequence[float]) -> Guarantee:
    """Return what a network states of itself at all of these noise levels, if its guarantee depends on them."""
    if not noises or not _depends(network):
        return network.guarantee()
    return weakest([network.guarantee(noise=noise) for noise in noises])  # type: ignore[call-arg]


def _depends(network: Certified) -> bool:
    return "noise" in signature(network.guarantee).parameters


def claims_of(network: Certified) -> Iterator[tuple[str, float, Score, str]]:
    """Return what a network claims, at the noise levels that attacks tell it: :func:`claims`."""
    noises = sorted(noises_of(network))  # type: ignore[arg-type]
    proved = proved_at(network, noises)
    apart = {proved_at(network, [noise]).lipschitz for noise in noises}
    yield from claims(proved, f"told the noise {', '.join(f'{x:.3g}' for x in noises)}: " if len(apart) > 1 else "")


def claims(proved: Guarantee, told: str = "") -> Iterator[tuple[str, float, Score, str]]:
    """Return the claims in words, their bounds, what an attack makes as large as it can, and who proved it first.

    ``told``, at which noise levels two images stay together, where that depends on them.
    """
    if math.isfinite(proved.gain):
        yield f"No image grows by more: |N(u)| <= {proved.gain:.6g} |u|.", proved.gain, gain, "combettes2015"
    if math.isfinite(proved.lipschitz):
        claim = f"Images stay together: {told}|N(u) - N(v)| <= {proved.lipschitz:.6g} |u - v|."
        yield claim, proved.lipschitz, spread, "combettes2015"
    if proved.range:
        yield "Maximum-minimum principle: no value leaves the range of the input.", 0.0, overshoot, "weickert1998"
    if proved.signs:
        yield "Sign stability: no step adds a change of sign along a row.", 0.0, crossings, "alt2020"
    if proved.mean:
        yield "The mean grey value is kept.", 0.0, drift, "weickert1998"
