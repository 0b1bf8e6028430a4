"""Learned activations that keep their bounds: convex mixtures of one row of the dictionary at several contrasts.

    Φ_c(s) = Σ_j w_cj λ_cj Φ(s/λ_cj),      w_cj >= 0,  Σ_j w_cj = 1,  λ_cj > 0

for channel c, s in units of the noise, Φ the row at contrast one. Whatever the weights and contrasts, Φ_c(s)/s lies
in [0, 1] and Φ_c' in [m, 1], where m belongs to the row and is known in closed form: 0 for increasing rows, -2 e^{-3/2}
for Perona-Malik, -1/8 for its rational relative, -1 for the garrote. Every odd function that increases and is concave
for s > 0, with slope 1 at 0, is a limit of mixtures of ``soft``.

With ``coupled`` = k, channels act together in groups of k: Φ(s) = g(|s|) s with |s| over the group, which does not
depend on how the group is turned (isotropic diffusion). The eigenvalues of its Jacobian are g and Φ': the same bounds.

Reference: Alt, Weickert, Peter (2020); Alt, Schrader, Weickert, Peter, Augustin (2023) for the coupling.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.dictionary import nonlinearity
from microlocal.kernels.diffusivities import CLOSED
from microlocal.kernels.mixtures import mixed

LEAST_SLOPES = {
    "whittaker-tikhonov": 0.0,  # Φ' = 1
    "charbonnier": 0.0,
    "soft": 0.0,
    "perona-malik": -2 * math.exp(-1.5),  # at s = √3 λ
    "perona-malik-rational": -0.125,  # at s = √3 λ
    "garrote": -1.0,  # just above λ
}
TINY = 1e-12


class Parts(NamedTuple):
    """Φ(s) = Σ_j share_j λ_j φ(s/λ_j) for every channel, φ that of a row of the dictionary."""

    row: str
    shares: Float[Tensor, "channel part"]
    contrasts: Float[Tensor, "batch channel part"]  # λ; a batch of one is for all images

    def repeated(self, times: int) -> "Parts":
        """Return the same for ``times`` as many channels, all of them again and again."""
        return Parts(self.row, self.shares.repeat(times, 1), self.contrasts.repeat(1, times, 1))


class Mixture(nn.Module):
    """A mixture per channel of a row of the dictionary.

    Parameters: ``channels``; ``row``, its name, with sup |Φ(s)/s| = 1 and a bounded slope; ``parts`` of a mixture;
    ``contrast`` of the first part to begin with, in units of the noise; ``coupled``, how many channels act together.

    Raises UnknownNameError for another row, InputError where ``coupled`` does not divide the channels.

    >>> clip = Mixture(1, "soft", parts=1, contrast=2.0)
    >>> clip(torch.tensor([-5.0, 1.0]).reshape(1, 1, 1, 2)).flatten().tolist()
    [-2.0, 1.0]
    """

    greatest_slope = 1.0  # at zero, of every row

    def __init__(
        self, channels: int, row: str = "soft", parts: int = 2, contrast: float = 1.0, coupled: int = 1
    ) -> None:
        super().__init__()
        if row not in LEAST_SLOPES:
            raise UnknownNameError("Mixture", row, LEAST_SLOPES)
        if coupled < 1 or channels % coupled:
            do = "Couple a number of channels that divides them."
            raise InputError("Mixture", expected=f"a divisor of {channels}", got=str(coupled), do=do)
        at_least(parts, 1, "parts", "Mixture")
        self.row, self.coupled, self.least_slope = row, coupled, LEAST_SLOPES[row]
        groups = channels // coupled
        start = math.log(contrast) + torch.arange(parts) * math.log(4.0)
        self.log_contrast = nn.Parameter(start.expand(groups, parts).clone())
        self.by_noise = nn.Parameter(torch.zeros(groups, parts))
        self.log_weight = nn.Parameter((-2.0 * torch.arange(parts)).expand(groups, parts).clone())
        self._entry = nonlinearity(row)

    def contrasts(self, log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0) -> Float[Tensor, "batch group 1 1 part"]:
        """Return λ, which may grow with a power of the noise beside it."""
        return contrasts_at(log_noise, self.log_contrast, self.by_noise)

    def forward(
        self,
        s: Float[Tensor, "batch channel row col"],
        log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0,
    ) -> Float[Tensor, "batch channel row col"]:
        """Return Φ(s), s in units of the noise; ``log_noise``, the logarithm of the noise level over a usual one."""
        wide = s if s.dtype in (torch.float32, torch.float64) else s.float()
        return self._applied(wide, log_noise).to(s.dtype)

    def mixture(self, log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0) -> Parts | None:
        """Return what is mixed, none where channels act together."""
        if self.coupled > 1:
            return None
        return Parts(self.row, self.log_weight.softmax(dim=1), self.contrasts(log_noise)[:, :, 0, 0])

    def _applied(self, s: Tensor, log_noise: Tensor | float) -> Tensor:
        shares = self.log_weight.to(s.dtype).softmax(dim=1)[:, None, None]
        contrast = self.contrasts(log_noise).to(s.dtype)
        if self.coupled == 1 and s.device.type == "cpu" and not (torch.is_grad_enabled() and _learns(s, self)):
            return self._by_kernel(s, shares, contrast)
        parts = list(zip(shares.unbind(-1), contrast.unbind(-1), strict=True))
        if self.coupled == 1:
            return torch.stack([share * part * self._entry.activation(s / part) for share, part in parts]).sum(dim=0)
        batch, channels, rows, cols = s.shape
        grouped = s.reshape(batch, channels // self.coupled, self.coupled, rows, cols)
        size = grouped.square().sum(dim=2).clamp_min(TINY).sqrt()
        factor = torch.stack([share * self._entry.diffusivity(size / part) for share, part in parts]).sum(dim=0)
        return (grouped * factor[:, :, None]).reshape(s.shape)

    def _by_kernel(self, s: Tensor, shares: Tensor, contrast: Tensor) -> Tensor:
        """Return the same in one pass: every channel of every image is a lane."""
        batch, channels, *plane = s.shape
        count, parts = batch * channels, shares.shape[-1]
        lanes = s.detach().resolve_neg().reshape(count, math.prod(plane)).contiguous()
        weights, sizes = (
            values.detach()[..., 0, 0, :].expand(batch, channels, parts).reshape(count, parts)
            for values in (shares, contrast)
        )
        return _mixed_lanes(lanes, weights.contiguous(), (1 / sizes.square()).contiguous(), self.row).reshape(s.shape)


# An operator of torch, which its compiler does not look into: it stumbles over kernels that are not compiled yet.
@torch.library.custom_op("microlocal::mixed_lanes", mutates_args=(), device_types="cpu")
def _mixed_lanes(s: Tensor, shares: Tensor, scales: Tensor, row: str) -> Tensor:
    kind = CLOSED[row](s.numpy().dtype.type(1))
    return torch.from_numpy(mixed(kind, s.numpy(), shares.numpy(), scales.numpy()))


@_mixed_lanes.register_fake
def _(s, shares, scales, row):  # type: ignore[no-untyped-def]
    del shares, scales, row
    return torch.empty_like(s)


def _learns(s: Tensor, mixture: nn.Module) -> bool:
    return s.requires_grad or any(parameter.requires_grad for parameter in mixture.parameters())


def contrasts_at(
    log_noise: Float[Tensor, "batch 1 1 1"] | float,
    log_contrast: Float[Tensor, "group part"],
    by_noise: Float[Tensor, "group part"],
) -> Float[Tensor, "batch group 1 1 part"]:
    """Return λ at a noise level, from its logarithm at the usual one and the power of the noise with which it grows."""
    told = torch.as_tensor(log_noise)
    told = told if told.ndim else told.reshape(1, 1, 1, 1)
    power = by_noise[:, None, None] * told[..., None]
    return (log_contrast[:, None, None] + power).exp().clamp_min(TINY)
