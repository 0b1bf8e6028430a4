"""One step, three times: of explicit diffusion, of shift-invariant Haar shrinkage, of a residual network.

    diffusion   u_i + τ/h (Φ((u_{i+1} - u_i)/h) - Φ((u_i - u_{i-1})/h))
    shrinkage   Haar coefficients of all pairs of neighbours, S on the differences, back, the mean of both shifts
    network     u + W_2 Φ(W_1 u),   W_1 = D⁺ forward differences, W_2 = τ D⁻ backward differences, no biases

They are equal for every nonlinearity, step size, grid size and length, with reflecting boundaries. The minimiser of
(u - f)²/2 + (α/2) Ψ(∂_x u) is one implicit step of size α; m explicit ones of size α/m follow the same diffusion, and m
implicit ones differ from them by a multiple of α/m.

Reference: Alt, Weickert, Peter (2020), section 3; Mrázek, Weickert, Steidl (2005).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from microlocal.core.checks import at_least, floating, positive
from microlocal.core.errors import ShapeError
from microlocal.dictionary.nonlinearity import STEP, Nonlinearity

Signal = Float[Tensor, "*batch n"]


def diffusion_step(u: Signal, entry: Nonlinearity, step: float = STEP, spacing: float = 1.0) -> Signal:
    """Return the signal after one explicit diffusion step with reflecting boundaries; raises InputError, ShapeError.

    >>> from microlocal.dictionary import nonlinearity
    >>> diffusion_step(torch.tensor([0.0, 4.0, 0.0]), nonlinearity("whittaker-tikhonov")).tolist()
    [1.0, 2.0, 1.0]
    """
    _checked(u, step, spacing)
    flux = functional.pad(entry.activation(u.diff(dim=-1) / spacing), (1, 1))
    return u + step / spacing * flux.diff(dim=-1)


def haar_step(u: Signal, entry: Nonlinearity, step: float = STEP, spacing: float = 1.0) -> Signal:
    """Return the signal after shrinkage of its Haar coefficients at the finest scale, the mean over both shifts.

    Shapes (*batch, n). The signal is reflected at its ends: (u_0, u_0) is a pair, too. Raises InputError, ShapeError.
    """
    _checked(u, step, spacing)
    wide = torch.cat((u[..., :1], u, u[..., -1:]), dim=-1)
    scaling = (wide[..., :-1] + wide[..., 1:]) / math.sqrt(2)
    shrunk = entry.shrinkage((wide[..., :-1] - wide[..., 1:]) / math.sqrt(2), step, spacing)
    first, second = (scaling + shrunk) / math.sqrt(2), (scaling - shrunk) / math.sqrt(2)
    return (first[..., 1:] + second[..., :-1]) / 2


def residual_step(u: Signal, entry: Nonlinearity, step: float = STEP, spacing: float = 1.0) -> Signal:
    """Return the output of a residual block: a convolution, the activation, a convolution, and the skip connection.

    Shapes (*batch, n). Raises InputError, ShapeError.
    """
    _checked(u, step, spacing)
    rows = u.reshape(-1, 1, u.shape[-1])
    forward = u.new_tensor([[[-1.0, 1.0]]]) / spacing
    inner = entry.activation(functional.conv1d(rows, forward))
    # The differences across the two ends vanish, since the signal is reflected there.
    return u + functional.conv1d(inner, step * forward, padding=1).reshape(u.shape)


def diffused(u: Signal, entry: Nonlinearity, time: float, steps: int, spacing: float = 1.0) -> Signal:
    """Return the signal at a stopping time T after m explicit steps of size T/m; raises InputError, ShapeError."""
    count = at_least(steps, 1, "steps", "diffused")
    for _ in range(count):
        u = diffusion_step(u, entry, time / count, spacing)
    return u


def _checked(u: Tensor, step: float, spacing: float) -> None:
    floating(u, "step")
    positive(step, "step", "step")
    positive(spacing, "spacing", "step")
    if u.ndim < 1 or u.shape[-1] < 2:
        do = "Give two values or more."
        raise ShapeError("step", expected="(*batch, n) with n >= 2", got=f"{tuple(u.shape)}", do=do)
