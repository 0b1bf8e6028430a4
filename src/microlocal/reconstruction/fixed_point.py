"""One iteration for every linear measurement: the data's step, then a denoiser, then bounds on the pixels.

    plug-and-play    T(u) = P(D(G(u)))                                    P clips to the box
    red              T(u) = P(u - γ (u - G(u)) - γ λ (u - D(u)))

G is the gradient step of ``DataStep``, D a denoiser that is averaged with a < 1 at the noise level it is used at, in
images of size one. Then T is averaged with a constant in closed form: by Combettes and Yamada for compositions; for
RED because u - G(u) is 1/(1 + ε)-cocoercive and u - D(u) is 1/(2a)-cocoercive, which bounds γ (Baillon and Haddad).
The box is compact and convex, so that T has a fixed point (Brouwer), and the iteration closes in on one
(Krasnoselskii and Mann; accelerated, with a safeguard that keeps |T(u) - u| from growing). Nothing is minimised unless
D is a proximal map: then the fixed points of T are the minimisers.

Reference: Bauschke and Combettes (2017); Ryu et al. (2019); Reehorst and Schniter (2019); Hertrich et al. (2021).
"""

import copy
import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Certificate, Hypothesis
from microlocal.certificates.fixed_point import certify_fixed_point
from microlocal.certificates.guarantee import Guarantee, gradient_step
from microlocal.certificates.maps import Certified, hypotheses_of, proved_at
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.progress import SILENT, Progress
from microlocal.networks.noise_level import at_level
from microlocal.networks.nonexpansive import Nonexpansive
from microlocal.operators.windows import WHOLE, Place, by_windows
from microlocal.reconstruction.data_step import OVERSHOOT, DataStep
from microlocal.reconstruction.images.tiles import ALIGNED, reach_of
from microlocal.reconstruction.trained import untrained
from microlocal.solvers.driver import Driver, Solution
from microlocal.solvers.krasnoselskii_mann import krasnoselskii_mann

SCHEMES = ("plug-and-play", "red")
SHARE = 0.95  # of the longest step γ that is proved for red
AT_ONCE = 1 << 18  # pixels that the denoiser sees at once
MEMORY = 3  # differences that the acceleration combines; 2 to 5 are as good, 8 need more iterations
ROUNDINGS = 4  # units of rounding by which |T(u) - u| may grow, in parts of the image
PROJECTION = gradient_step(1.0, 1.0)  # averaged with 1/2
NOTHING = Guarantee()


class Iteration(nn.Module):
    """T on images (image, 1, row, col) of size one.

    Parameters: ``data_step`` G, ``denoiser`` D called as D(u, noise), or D(u) where it takes none, ``level`` of the
    noise for every image (image,), ``scheme``, ``box`` the least and the greatest value of a pixel, numbers or one for
    every image (image, 1, 1, 1), ``strength`` λ of red; ``trained``, the least and the greatest noise that D was
    trained on: for a level s beyond, n is the nearest of them and D is s/n D(u n/s, n), which is proved to be what D is
    at n. Raises UnknownNameError for another scheme.
    """

    level: Tensor
    told: Tensor
    progress: Progress
    least: Tensor
    greatest: Tensor

    def __init__(
        self,
        data_step: DataStep,
        denoiser: nn.Module,
        level: Float[Tensor, " image"],
        scheme: str = "plug-and-play",
        box: tuple[float | Tensor, float | Tensor] = (0.0, 10.0),
        strength: float = 1.0,
        trained: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise UnknownNameError("Iteration", scheme, SCHEMES)
        self.data_step, self.denoiser, self.scheme, self.strength = data_step, denoiser, scheme, strength
        self.trained, self.progress = trained, SILENT
        for name, bound in zip(("least", "greatest"), box, strict=True):
            self.register_buffer(name, torch.as_tensor(bound, dtype=level.dtype).reshape(-1, 1, 1, 1))
        self.register_buffer("level", level.reshape(-1, 1, 1, 1))
        self.register_buffer("told", self.level if trained is None else self.level.clamp(*trained))
        self.length = SHARE * 2 / (1 + OVERSHOOT + 2 * strength * min(self.proved().averaged, 1.0))

    def forward(self, u: Float[Tensor, "image 1 row col"]) -> Float[Tensor, "image 1 row col"]:
        """Return T(u), window by window where the image is large and it is known how far T can see."""
        return by_windows(
            lambda part, place: self._at(place, u)._applied(part), u, self._reach(), WHOLE, progress=self.progress
        )

    def _reach(self) -> int | None:
        """Return the margin of a window, on the grids of the denoiser."""
        near, far = self.data_step.reach, reach_of(self.denoiser)
        return None if near is None or far is None else ALIGNED * math.ceil((near + far) / ALIGNED)

    def _at(self, place: Place, u: Tensor) -> "Iteration":
        """Return T of a part of the images u; T itself where that is all."""
        if all(part.stop - part.start == size for part, size in zip(place, u.shape[-2:], strict=True)):
            return self
        part = copy.copy(self)
        part._modules = dict(self._modules)
        part.data_step = self.data_step.window(place)
        return part

    def _applied(self, u: Tensor) -> Tensor:
        if self.scheme == "plug-and-play":
            return self.inside(self._denoised(self.data_step(u)))
        pull = (u - self.data_step(u)) + self.strength * (u - self._denoised(u))
        return self.inside(u - self.length * pull)

    def inside(self, u: Float[Tensor, "image 1 row col"]) -> Float[Tensor, "image 1 row col"]:
        """Return P(u)."""
        return u.clamp(self.least, self.greatest)

    @property
    def box(self) -> tuple[float, float]:
        """The least and the greatest value of a pixel, of all images."""
        return float(self.least.min()), float(self.greatest.max())

    def _denoised(self, u: Tensor) -> Tensor:
        count = max(AT_ONCE // (u.shape[-2] * u.shape[-1]), 1)
        beyond = self.level / self.told
        parts = torch.split(u / beyond, count), torch.split(self.told.expand(len(u), 1, 1, 1), count)
        return beyond * torch.cat([at_level(self.denoiser, part, noise) for part, noise in zip(*parts, strict=True)])

    def proved(self) -> Guarantee:
        """Return what the denoiser states at these levels, the weakest of them; nothing where it states nothing."""
        if not isinstance(self.denoiser, Certified):
            return NOTHING
        return proved_at(self.denoiser, sorted(set(self.told.flatten().tolist())))

    def guarantee(self) -> Guarantee:
        proved, box = self.proved(), PROJECTION.averaged
        if self.scheme == "plug-and-play":
            whole = self.data_step.guarantee().then(proved).then(PROJECTION)
            return Guarantee(lipschitz=whole.lipschitz, averaged=whole.averaged)
        if not proved.nonexpansive:
            return NOTHING
        pulled = 1 + OVERSHOOT + 2 * self.strength * min(proved.averaged, 1.0)
        whole = gradient_step(self.length, pulled).then(Guarantee(lipschitz=1.0, averaged=box))
        return Guarantee(lipschitz=whole.lipschitz, averaged=whole.averaged)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        a, (low, high) = self.proved().averaged, self.box
        told = self.denoiser.hypotheses() if isinstance(self.denoiser, Certified) else ()
        bounded = math.isfinite(low) and math.isfinite(high) and bool((self.least <= self.greatest).all())
        levels = ", ".join(f"{noise:.4g}" for noise in sorted(set(self.told.flatten().tolist()))[:4])
        found = [*self.data_step.hypotheses(), *told, Hypothesis("the box is compact", f"[{low:g}, {high:g}]", bounded)]
        if self.scheme == "plug-and-play":
            return (*found, Hypothesis(f"the denoiser is averaged at the noise {levels}: a < 1", f"a = {a:.6g}", a < 1))
        most = 2 / (1 + OVERSHOOT + 2 * self.strength * min(a, 1.0))
        step = Hypothesis("0 < γ < 2/(1 + ε + 2 a λ)", f"{self.length:.4g} < {most:.4g}", 0 < self.length < most)
        fair = Hypothesis("the denoiser is non-expansive", f"{self.proved().lipschitz:.6g}", self.proved().nonexpansive)
        return (*found, step, fair)

    def only(self, image: int) -> "Iteration":
        """Return T for one image of the batch, in the same precision."""
        alone = copy.copy(self)
        alone._buffers, alone._modules = dict(self._buffers), dict(self._modules)
        for name in ("level", "told", "least", "greatest"):
            noise = getattr(self, name)
            setattr(alone, name, noise[image : image + 1] if len(noise) > 1 else noise)
        alone.data_step = copy.copy(self.data_step)
        alone.data_step._buffers = dict(self.data_step._buffers)
        alone.data_step.back = self.data_step.back[image : image + 1]
        return alone


def refuse_unproved(iteration: Iteration, who: str, *, force: bool) -> None:
    """Raise InputError where it is not proved that the iteration converges, unless it is forced."""
    if force or _proved(iteration):
        return
    proved, kind = iteration.proved(), type(iteration.denoiser).__name__
    expected = "a denoiser that is proved to be averaged (Lipschitz constant one)"
    if iteration.scheme == "red":
        expected = "a denoiser with a proved Lipschitz constant of one"
    broken = "".join(f"; not: {h.statement} ({h.measured})" for h in hypotheses_of(iteration) if not h.holds)
    got = f"{kind}, Lipschitz constant <= {proved.lipschitz:.4g}, averaged {proved.averaged:.4g}{broken}"
    do = "Take weights of the kind nonexpansive, or force=True: the iteration may then wander, without a certificate."
    raise InputError(who, expected=expected, got=got, do=do)


def _proved(iteration: Iteration) -> bool:
    return iteration.guarantee().averaged < 1 and all(h.holds for h in hypotheses_of(iteration))


def iterate(iteration: Iteration, start: Float[Tensor, "image 1 row col"], driver: Driver) -> Solution:
    """Run the iteration from ``start``, moved into the box; the value is T of the last image, so in the box too."""
    with torch.no_grad():
        found = krasnoselskii_mann(iteration, iteration.inside(start), driver, MEMORY)
    return replace(found, value=found.state["ahead"])


def certificate_of(iteration: Iteration, solution: Solution) -> tuple[Certificate, ...]:
    """Return the certificate of a run; none where nothing is proved, or nothing was run. The attack is on image 0."""
    if not _proved(iteration):
        return ()
    value = solution.value
    rounding = ROUNDINGS * torch.finfo(value.dtype).eps * float(value.norm())
    alone = iteration.only(0)
    return (certify_fixed_point(alone, solution.history.get("distance", []), (1, *value.shape[1:]), rounding),)


def in_precision(denoiser: nn.Module, like: Float[Tensor, "..."]) -> nn.Module:
    """Return the denoiser with weights in the precision of an image, on its device; the one given stays as it is."""
    return copy.deepcopy(denoiser).to(like.device, like.dtype).eval()


def tiny_denoiser() -> nn.Module:
    """Return a denoiser of seed 0 that has learned nothing, gradient steps on convex energies, for trials."""
    return untrained(lambda: Nonexpansive((1, 2, 1), filters=6, side=3))
