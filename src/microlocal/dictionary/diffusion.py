"""Nonlinear diffusion of images to a stopping time, by three explicit schemes.

    ∂_t u = div F(∇u),      D(u) = -Kᵀ F(K u),      K = (D_row, D_col) forward differences over h, reflected at ends

F is Φ of both derivatives alike, the block of the dictionary in two dimensions; or, ``coupled``, g(|∇u|) ∇u, which is
isotropic. With L = sup g, ‖K‖² <= 8/h², and a step size τ:

    explicit         u + τ D(u)                                         max-min principle for τ <= h²/(4L)
    fsi              a_l (u_l + τ D(u_l)) + (1 - a_l) u_{l-1}           the same τ; a cycle of n reaches τ (n² + n)/3
    du-fort-frankel  ((1 - 2τa) u_{l-1} + 4τa u_l + 2τ D(u_l))/(1 + 2τa)     any τ, a = 2L/h²

a_l = (4l + 2)/(2l + 3) and u_{-1} = u_0 at the begin of every cycle. All keep the mean. The bounds of the first two are
those of the L2 norm, too; for the last two they are proved for linear diffusion, g constant, and there for the L2 norm
alone: values may leave the range of the image a little.

Reference: Perona and Malik (1990); Weickert, ter Haar Romeny and Viergever (1998); Hafner, Ochs, Weickert, Reißel and
Grewenig (2016); Alt, Schrader, Augustin, Peter and Weickert (2023).
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, floating, positive
from microlocal.core.errors import InputError, ShapeError, UnknownNameError
from microlocal.dictionary.evolution import evolved
from microlocal.dictionary.facts import Facts, facts
from microlocal.dictionary.nonlinearity import Nonlinearity
from microlocal.dictionary.tabulated import FINGERPRINT

SCHEMES = ("explicit", "fsi", "du-fort-frankel")
CYCLES = 2  # where one of the same number of steps is three times as far from the explicit scheme
LONGER = 4  # default steps of Du Fort and Frankel, in units of the largest explicit one
ROUNDING = 1e-6
Images = Float[Tensor, "*batch row col"]
Value = float | Float[Tensor, "*#batch"]


def diffuse(
    image: Images,
    entry: Nonlinearity,
    time: Value,
    steps: int | None = None,
    *,
    scheme: str = "explicit",
    cycles: int | None = None,
    coupled: bool = False,
    contrast: Value = 1.0,
    spacing: float = 1.0,
) -> Images:
    """Return the images (*batch, row, col) after nonlinear diffusion for ``time`` T, differentiably.

    ``entry``, of ``nonlinearity`` or one's own, with g >= 0; ``steps``, in all, the fewest that are stable unless
    given (for Du Fort and Frankel steps of h²/L); ``cycles``, of the scheme fsi, into which the steps divide, 2;
    ``coupled``, whether both derivatives share one diffusivity; ``contrast``, a factor of the entry's own, which scales
    the image instead: c u(x/c); ``spacing`` h. T and the contrast may be tensors, one value an image, and have
    derivatives, as the image has. Raises InputError, ShapeError, UnknownNameError; so for fewer steps than are stable.

    >>> from microlocal.dictionary import nonlinearity
    >>> spike = torch.zeros(3, 3, dtype=torch.float64)
    >>> spike[1, 1] = 1.0
    >>> diffuse(spike, nonlinearity("whittaker-tikhonov"), 0.125).tolist()
    [[0.0, 0.125, 0.0], [0.125, 0.5, 0.125], [0.0, 0.125, 0.0]]
    """
    _checked(image, entry, scheme)
    cycles = _cycles(cycles, scheme)
    positive(spacing, "spacing", "diffuse")
    until, unit = (_per_image(v, n, image) for v, n in ((time, "time"), (contrast, "contrast")))
    longest = float(until.detach().max()) / spacing**2 if until.numel() else 0.0
    count = _steps(entry, longest, steps, scheme, cycles)
    weights = _weights(scheme, until / spacing**2, count, cycles, entry)
    if isinstance(contrast, Tensor) or contrast * spacing != 1:
        scale = (unit * spacing)[..., None, None]
        return scale * evolved(image / scale, entry, weights, coupled)
    return evolved(image, entry, weights, coupled)


def largest_step(entry: Nonlinearity) -> float:
    """Return the largest stable τ of two-dimensional explicit diffusion for h = 1, 1/(4L).

    It is 0 where g has no bound, or is negative somewhere.

    >>> from microlocal.dictionary import nonlinearity
    >>> largest_step(nonlinearity("perona-malik")), largest_step(nonlinearity("tv"))
    (0.25, 0.0)
    """
    return _facts(entry).max_min_step() / 2


def cycle_time(length: int) -> float:
    """Return the diffusion time that a cycle of n steps of fsi reaches with τ = 1, (n² + n)/3.

    >>> [round(cycle_time(n), 3) for n in (5, 10, 20, 40)]
    [10.0, 36.667, 140.0, 546.667]
    """
    return (length**2 + length) / 3


def _facts(entry: Nonlinearity) -> Facts:
    return _remembered(entry, entry.diffusivity(FINGERPRINT).detach().numpy().tobytes())


@lru_cache(maxsize=64)
def _remembered(entry: Nonlinearity, marks: bytes) -> Facts:
    del marks  # of a function that may be another tomorrow
    return facts(entry)


def _steps(entry: Nonlinearity, time: float, steps: int | None, scheme: str, cycles: int) -> int:
    """Return how many steps to take; ``time`` is in units of h²."""
    stable = largest_step(entry)
    if stable == 0:
        if steps is None or scheme == "du-fort-frankel":
            do = "Use a truncated one (soft, garrote), or give steps and another scheme: no step is proved stable."
            got = entry.name if _facts(entry).nonnegative else f"{entry.name}, which is negative somewhere"
            raise InputError("diffuse", expected="a bounded diffusivity g >= 0", got=got, do=do)
        return _divided(at_least(steps, 1, "steps", "diffuse"), cycles)
    whole_steps = time / stable if math.isfinite(stable) else 0.0
    least = max(1, math.ceil(whole_steps * (1 - ROUNDING)))
    if scheme == "du-fort-frankel":
        default, least = max(1, math.ceil(whole_steps / LONGER)), 1
    elif scheme == "fsi":
        length = max(1, math.ceil((math.sqrt(1 + 12 * whole_steps / cycles * (1 - ROUNDING)) - 1) / 2))
        default = least = cycles * length
    else:
        default = least
    if steps is None:
        return default
    if at_least(steps, 1, "steps", "diffuse") < least:
        expected = f"{least} steps or more of {scheme} until T = {time:g} h², since sup g = {1 / (4 * stable):g}"
        raise InputError("diffuse", expected=expected, got=f"{steps}", do="Give more, or leave steps out.")
    return _divided(steps, cycles)


def _divided(steps: int, cycles: int) -> int:
    if steps % cycles:
        expected = f"steps that divide into {cycles} cycles"
        raise InputError("diffuse", expected=expected, got=f"{steps}", do="Give a multiple of the cycles.")
    return steps


def _weights(
    scheme: str, time: Float[Tensor, "*batch"], steps: int, cycles: int, entry: Nonlinearity
) -> Float[Tensor, "*batch step 3"]:
    """Return α, β, γ of u_{l+1} = α u_l + β u_{l-1} + γ D(u_l) for every step."""
    one, zero = torch.ones_like(time), torch.zeros_like(time)
    if scheme == "explicit":
        return torch.stack((one, zero, time / steps), dim=-1)[..., None, :].expand(*time.shape, steps, 3)
    if scheme == "fsi":
        length = steps // cycles
        tau, rows = time / (cycles * cycle_time(length)), []
        for step in range(length):
            a = (4 * step + 2) / (2 * step + 3)
            # A cycle begins without a past: u_{-1} = u_0.
            own, past = (1.0, 0.0) if step == 0 else (a, 1 - a)
            rows.append(torch.stack((own * one, past * one, a * tau), dim=-1))
        return torch.stack(rows, dim=-2).repeat(*(1,) * time.ndim, cycles, 1)
    tau = time / steps
    doubled = 2 * tau * 2 * _facts(entry).largest_ratio  # 2 τ a
    first = torch.stack((one, zero, tau / (1 + doubled)), dim=-1)  # an explicit one, as short as is stable
    other = torch.stack((2 * doubled, 1 - doubled, 2 * tau), dim=-1) / (1 + doubled)[..., None]
    return torch.stack((first, *[other] * (steps - 1)), dim=-2)


def _per_image(value: Value, name: str, image: Images) -> Float[Tensor, "*batch"]:
    """Return a positive number, or one an image, as a tensor of the images' batch."""
    batch = image.shape[:-2]
    numbers = torch.as_tensor(value, dtype=image.dtype, device=image.device)
    if tuple(numbers.shape) not in ((), tuple(batch)):
        do = f"Give a number, or a tensor of shape {tuple(batch)}."
        raise ShapeError("diffuse", expected=f"one {name}, or one an image", got=f"{tuple(numbers.shape)}", do=do)
    for number in set(numbers.detach().flatten().tolist()):
        positive(number, name, "diffuse")
    return numbers.expand(batch)


def _checked(image: Images, entry: Nonlinearity, scheme: str) -> None:
    if not isinstance(entry, Nonlinearity):
        do = "Give nonlinearity(name, contrast), or one of your own: from_diffusivity and its like."
        raise InputError("diffuse", expected="a nonlinearity", got=repr(entry)[:80], do=do)
    if floating(image, "diffuse").ndim < 2 or min(image.shape[-2:]) < 2:
        do = "Give images of two rows and columns or more."
        raise ShapeError("diffuse", expected="(*batch, row, col)", got=f"{tuple(image.shape)}", do=do)
    if scheme not in SCHEMES:
        raise UnknownNameError("diffuse", scheme, SCHEMES)


def _cycles(cycles: int | None, scheme: str) -> int:
    if cycles is None:
        return CYCLES if scheme == "fsi" else 1
    if at_least(cycles, 1, "cycles", "diffuse") > 1 and scheme != "fsi":
        do = "Leave cycles out, or take the scheme fsi."
        raise InputError("diffuse", expected=f"1 cycle of {scheme}", got=f"{cycles}", do=do)
    return cycles
