"""Denoising by nonlinear diffusion of Perona and Malik's kind, stopped by the discrepancy principle.

∂_t u = div(g(|∇u|) ∇u),   u(0) = y,   until mean (y - u)² = θ σ²
"""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.dictionary.diffusion import largest_step
from microlocal.dictionary.evolution import evolved
from microlocal.dictionary.named import nonlinearity
from microlocal.dictionary.nonlinearity import Nonlinearity
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image, per_image
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.trial import ImageTrial, noisy_trial

PER_NOISE = 1.0  # λ/σ; this and θ are the best of a few for photographs at σ = 10, 25 and 50/255
REMOVED = 0.9  # θ: what is taken off is noise but for a little, and some of the noise stays
BURST, BURSTS, HALVINGS = 5, 200, 10  # steps between looks at what is taken off, looks, and of the last burst


def _trials() -> list[ImageTrial]:
    return [noisy_trial("denoise-diffusion, against the data", denoise_diffusion, lambda y: y, 0.5)]


@register("image-method", "denoise-diffusion", samples=_trials, reference="perona1990")
def denoise_diffusion(
    image: Float[Tensor, "*batch row col"],
    *,
    noise: float | None = None,
    diffusivity: str | Nonlinearity = "perona-malik-rational",
    contrast: float | None = None,
    removed: float = REMOVED,
    coupled: bool = True,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Remove white noise from images (*batch, row, col) by nonlinear diffusion that stops by itself.

    ``noise`` σ, its standard deviation, estimated for every image unless given; ``diffusivity``, a row of the
    dictionary or a nonlinearity for the contrast 1; ``contrast`` λ in the image's unit, σ unless given;
    it stops where the mean square of what was ``removed`` is that share of σ²; ``coupled``, whether both derivatives
    share one diffusivity. Steps are explicit, as long as is stable: no value leaves the range of the image, and the
    mean stays. Raises InputError for images and diffusivities that cannot be used, UnknownNameError.

    >>> clean = torch.zeros(32, 32)
    >>> clean[:, 16:] = 1.0
    >>> noisy = clean + 0.1 * torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    >>> bool((denoise_diffusion(noisy).image - clean).norm() < 0.5 * (noisy - clean).norm())
    True
    """
    y = checked_image(image, "denoise_diffusion")
    entry = nonlinearity(diffusivity) if isinstance(diffusivity, str) else diffusivity
    step = largest_step(entry)
    if not 0 < step < float("inf"):
        do = "Take a truncated one, such as soft or garrote."
        raise InputError("denoise_diffusion", expected="a diffusivity with a bound", got=entry.name, do=do)
    sigma, note = given_or_estimated(noise, y, "denoise_diffusion")
    level = (
        PER_NOISE * sigma
        if contrast is None
        else sigma.new_full(sigma.shape, positive(contrast, "contrast", "denoise_diffusion"))
    )
    unit = per_image(level.clamp_min(torch.finfo(y.dtype).tiny), 2)
    wanted = positive(removed, "removed", "denoise_diffusion") * (sigma / level.clamp_min(1e-30)).square()
    u, time = _stopped(y / unit, entry, step, wanted, coupled, progress)
    late = "" if bool((time < BURST * BURSTS * step).all()) else " Some had not lost that much when it ended."
    config = {"diffusivity": entry.name, "contrast": level.tolist(), "time": time.tolist(), "removed": removed}
    return ImageEstimate(u * unit, y - u * unit, sigma, config=config, notes=(note + late,))


def _stopped(
    y: Float[Tensor, "*batch row col"],
    entry: Nonlinearity,
    step: float,
    wanted: Float[Tensor, "*batch"],
    coupled: bool,
    progress: Progress,
) -> tuple[Float[Tensor, "*batch row col"], Float[Tensor, "*batch"]]:
    """Return images of which the mean square ``wanted`` is taken off, and the times at which that was."""
    u, time, done = y, torch.zeros_like(wanted), wanted <= 0

    def further(share: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch row col"]:
        one, zero = torch.ones_like(share), torch.zeros_like(share)
        weights = torch.stack((one, zero, share * step), dim=-1)[..., None, :].expand(*share.shape, BURST, 3)
        return evolved(u, entry, weights, coupled)

    def enough(later: Float[Tensor, "*batch row col"]) -> Tensor:
        return (later - y).square().mean((-2, -1)) >= wanted

    progress.start("diffusing", BURSTS)
    for _ in range(BURSTS):
        if bool(done.all()):
            break
        low, high = torch.zeros_like(wanted), torch.where(done, 0.0, torch.ones_like(wanted))
        later = further(high)
        ends = enough(later) & ~done
        if bool(ends.any()):
            for _ in range(HALVINGS):
                middle = torch.where(ends, (low + high) / 2, high)
                over = enough(further(middle)) & ends
                low, high = torch.where(ends & ~over, middle, low), torch.where(over, middle, high)
            later = further(high)
        u, time, done = later, time + high * BURST * step, done | ends
        progress.advance("diffusing")
    progress.finish("diffusing")
    return u, time
