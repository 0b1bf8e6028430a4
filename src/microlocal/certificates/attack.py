"""Search for inputs on which a map of images breaks what is claimed of it: many starts, then gradient ascent.

Each search returns the worst value that it found, a lower estimate of the true one, in float64. A result that is not
finite counts as infinitely bad: it is never within a bound.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from time import monotonic

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import at_least
from microlocal.core.seeding import generator

Signals = Float[Tensor, "batch ..."]
Map = Callable[[Signals], Signals]
Score = Callable[[Map, Signals, Signals], Float[Tensor, " batch"]]

SIZES = (1e-3, 0.1, 1.0, 10.0)  # of the signals of the first round
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
LEVELS = ("noise", "sigma")  # names of an argument that tells a noise level
NOISES = (1.0, 0.2, 2.0)  # levels that denoisers are told, in parts of the usual one: those they are trained for
KINDS = 3  # of starts
TINY = 1e-30
ZERO = 1e-12  # values of a result that count as zero, in parts of the largest of the signal: their sign is rounding


def unwatched(part: float) -> bool:
    """Let a search go on."""
    del part
    return False


@dataclass(frozen=True)
class Search:
    """How long is searched: ``starts`` of each size, ``steps`` of ascent, with a ``rate`` in parts of the signal.

    It ends early after ``seconds``, or when ``watch``, which hears before every step what part of the search is over,
    says so. The rate falls with that part, so that a search that has little time ends in small steps, too.
    """

    starts: int = 4
    steps: int = 40
    rate: float = 0.1
    seconds: float = math.inf
    watch: Callable[[float], bool] = field(default=unwatched, compare=False, repr=False)

    def part(self, step: int, begun: float) -> float:
        """Return what part is over before a ``step``, of a search that began at a time of ``time.monotonic``.

        That of the steps wherever they are quick enough, so that such a search can be repeated to the last bit.
        """
        by_steps = step / self.steps if self.steps else 1.0
        by_time = (monotonic() - begun) / max(self.seconds, TINY) if step or self.seconds < TINY else 0.0
        return min(max(by_steps, by_time), 1.0)


def gain(run: Map, u: Signals, d: Signals) -> Float[Tensor, " batch"]:
    """Return |N(u)|/|u|."""
    del d
    return _size(run(u)) / _size(u)


def spread(run: Map, u: Signals, d: Signals) -> Float[Tensor, " batch"]:
    """Return |N(u + d) - N(u)|/|d|."""
    return _size(run(u + d) - run(u)) / _size(d)


def overshoot(run: Map, u: Signals, d: Signals) -> Float[Tensor, " batch"]:
    """Return by how much N(u) leaves the range of u, over that range."""
    del d
    flat, found = u.flatten(1), run(u).flatten(1)
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    beyond = torch.maximum(found.amax(dim=1) - high, low - found.amin(dim=1))
    return beyond / (high - low).clamp_min(TINY)


def drift(run: Map, u: Signals, d: Signals) -> Float[Tensor, " batch"]:
    """Return |mean N(u) - mean u| over the root mean square of u."""
    del d
    change = (run(u) - u).flatten(1).mean(dim=1).abs()
    return change / u.flatten(1).square().mean(dim=1).sqrt().clamp_min(TINY)


def crossings(run: Map, u: Signals, d: Signals) -> Float[Tensor, " batch"]:
    """Return how many changes of sign N(u) has more than u along a row, the most of all rows.

    Where ``run`` returns all states of N, with an axis for them after the batch, each is compared with the one before.
    The slope is that of a smooth count: the number itself has none.
    """
    del d
    found = run(u)
    after = found if found.ndim > u.ndim else found[:, None]
    before = torch.cat((u[:, None], after[:, :-1]), dim=1)
    floor = ZERO * u.flatten(1).abs().amax(dim=1).reshape(-1, *(1 for _ in after.shape[1:]))
    exact = changes_of_sign(torch.where(after.abs() <= floor, 0.0, after)) - changes_of_sign(before)
    smooth = _smooth_changes(after) - _smooth_changes(before)
    return exact.flatten(1).amax(dim=1) + (smooth - smooth.detach()).flatten(1).sum(dim=1)


def changes_of_sign(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return how often the sign changes along the last axis; zeros have none and are passed over."""
    sign = x.detach().sign()
    last = torch.where(sign != 0, torch.arange(x.shape[-1]), 0).cummax(dim=-1).values
    kept = sign.gather(-1, last)
    return (kept[..., 1:] * kept[..., :-1] < 0).sum(dim=-1).to(x.dtype)


def _smooth_changes(x: Tensor) -> Float[Tensor, "..."]:
    """Return nearly the same with a slope: a half for every pair of neighbours, less their product's sign, softened."""
    scale = x.detach().square().mean(dim=-1, keepdim=True).clamp_min(TINY)
    return (1 - (x[..., 1:] * x[..., :-1] / scale).tanh()).sum(dim=-1) / 2


def bursts(shape: Sequence[int]) -> Signals:
    """Return signals that alternate under a sine, with zeros around: what gains changes of sign soonest.

    Of every width, at every size; all rows alike. They are the fastest eigenvectors of a linear step on so many pixels.
    """
    n = shape[-1]
    found = []
    for width in range(min(3, n), max(n - 3, min(3, n) + 1)):
        k = torch.arange(1, width + 1, dtype=torch.float64)
        burst = (1 - 2 * (k % 2)) * torch.sin(math.pi * k / (width + 1))
        first = (n - width) // 2
        found += [size * torch.nn.functional.pad(burst, (first, n - width - first)) for size in SIZES]
    return torch.stack(found).reshape(-1, *(1 for _ in shape[:-1]), n).expand(-1, *shape).clone()


class Stepwise(nn.Module):
    """A network that yields its states, as one that returns all of them, (batch, step, ...)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, u: Signals, **told: Float[Tensor, " batch"]) -> Float[Tensor, "batch step ..."]:
        return torch.stack(list(self.network.states(u, **told)), dim=1)  # type: ignore[operator]


def worst(
    network: nn.Module,
    shape: Sequence[int],
    score: Score,
    search: Search | None = None,
    seed: int = 0,
    images: Float[Tensor, "batch ..."] | None = None,
    noises: Sequence[float] = (),
) -> tuple[float, Float[Tensor, "..."]]:
    """Return the worst score found and the image u it was found at, without its batch axis.

    ``shape`` of one input, as (channel, row, col); ``images`` near which is searched beside all others, pictures with
    noise unless given; ``noises``, levels that the network is told of each, its own unless given. The network is left
    as it is. Raises InputError.
    """
    how = search or Search()
    at_least(how.starts, 1, "starts", "attack")
    pairs = _pairs(shape, how.starts, generator(seed), images)
    u, d = (x.repeat_interleave(max(len(noises), 1), dim=0) for x in pairs)  # each at every level
    told = torch.tensor(noises, dtype=torch.float64).repeat(len(pairs[0])) if noises else None
    run = _in_float64(network, told)
    found, place, begun = -float("inf"), u[0], monotonic()
    for step in range(how.steps + 1):
        part = how.part(step, begun)
        last = how.watch(part) or part >= 1
        u, d = u.detach().requires_grad_(), d.detach().requires_grad_()
        with torch.enable_grad():
            values = score(run, u, d)
            slopes = () if last else torch.autograd.grad(values.sum(), (u, d), allow_unused=True)
        scores = values.detach().nan_to_num(nan=math.inf, posinf=math.inf)
        best = int(scores.argmax())
        if float(scores[best]) > found:
            found, place = float(scores[best]), u[best].detach()
        if last:
            break
        u, d = (_moved(x, slope, how.rate * (1 - part)) for x, slope in zip((u, d), slopes, strict=True))
    return found, place


def picture(shape: Sequence[int]) -> Float[Tensor, "1 ..."]:
    """Return a ramp with an edge and some noise, of ``shape`` with a batch axis, between 0 and 1 but for the noise."""
    return _pictures(1, shape, generator(0))


def noises_of(network: nn.Module) -> tuple[float, ...]:
    """Return the noise levels to tell a denoiser, around its ``usual`` one; none where it is told none."""
    usual = getattr(network, "usual", None)
    return tuple(float(usual) * part for part in NOISES) if usual is not None and takes_level(network) else ()


def takes_level(network: nn.Module) -> bool:
    """Return whether a network is called with an image and a noise level: its second argument is one, or needed.

    >>> takes_level(nn.ReLU())
    False
    """
    inner = getattr(network, "_orig_mod", network)  # of compiled modules
    _, *more = [*signature(inner.forward).parameters.values(), None]
    second = more[0]
    if second is None:
        return False
    needed = second.kind in POSITIONAL and second.default is Parameter.empty
    return needed or second.name in LEVELS or second.kind is Parameter.VAR_POSITIONAL


def _pairs(
    shape: Sequence[int], starts: int, source: torch.Generator, images: Tensor | None
) -> tuple[Signals, Signals]:
    """Return signals u of all sizes, and d beside them."""
    sizes = torch.tensor(SIZES, dtype=torch.float64).repeat_interleave(starts).reshape(-1, *(1 for _ in shape))
    u = sizes * _starts(len(sizes), shape, source)
    u = u if images is None else torch.cat([images.double(), u])
    d = _beside(u, source)
    if images is not None:
        return u, d
    pictures = sizes[::starts] * _pictures(len(SIZES), shape, source)
    return torch.cat([u, pictures]), torch.cat([d, _beside(pictures, source)])


def _beside(u: Signals, source: torch.Generator) -> Signals:
    """Return noise that is smaller than u, by up to three decades."""
    unit = u.flatten(1).square().mean(dim=1).sqrt().reshape(-1, *(1 for _ in u.shape[1:]))
    near = 10.0 ** (-3 * torch.rand(unit.shape, generator=source, dtype=torch.float64))
    return unit * near * torch.randn(u.shape, generator=source, dtype=torch.float64)


def _pictures(count: int, shape: Sequence[int], source: torch.Generator) -> Tensor:
    """Return a ramp with an edge in it, each time with other noise."""
    ramp = torch.as_tensor(sum(torch.meshgrid(*[torch.linspace(0, 1, n).double() for n in shape], indexing="ij")))
    ramp = ramp / ramp.max().clamp_min(TINY)
    return (ramp + (ramp > 0.5)) / 2 + 0.1 * torch.randn(count, *shape, generator=source, dtype=torch.float64)


def _starts(count: int, shape: Sequence[int], source: torch.Generator) -> Tensor:
    """Return signals of three kinds: noise, signs that alternate from pixel to pixel, and jumps."""
    noise = torch.randn(count, *shape, generator=source, dtype=torch.float64)
    places = sum(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij"))
    waves = 1.0 - 2.0 * (torch.as_tensor(places) % 2).double()
    jumps = torch.randn(count, *shape, generator=source, dtype=torch.float64).sign()
    kind = (torch.arange(count) % KINDS).reshape(-1, *(1 for _ in shape))
    return torch.where(kind == 0, noise, torch.where(kind == 1, waves + 0.1 * noise, jumps))


def _moved(x: Tensor, slope: Tensor | None, rate: float) -> Tensor:
    """Return x moved uphill by a part of its own size; a slope that is not finite moves nothing."""
    if slope is None:
        return x.detach()
    slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    unit = (-1, *(1 for _ in x.shape[1:]))
    return (x + rate * (_size(x) / _size(slope)).reshape(unit) * slope).detach()


def _in_float64(network: nn.Module, noise: Float[Tensor, " batch"] | None) -> Map:
    """Return the network as a function, with its parameters in float64; the module keeps its own."""
    told = {} if noise is None else {"noise": noise}
    state = {name: value.detach().double() if value.is_floating_point() else value
             for name, value in (*network.named_parameters(), *network.named_buffers())}  # fmt: skip
    return lambda x: torch.func.functional_call(network, state, (x,), told)


def _size(x: Tensor) -> Float[Tensor, " batch"]:
    return x.flatten(1).square().sum(dim=1).clamp_min(TINY**2).sqrt()
