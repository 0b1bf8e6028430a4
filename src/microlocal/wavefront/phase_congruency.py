"""Edges and ridges by the phase of complex shearlets, after CoShREM.

On an edge the odd coefficients of all scales agree and the even ones vanish; on a ridge it is the other way round. In
every direction

    edge  = [|mean_j odd_j| - β mean_j |even_j|]_+,       ridge = [|even_p| - β |odd_p|]_+ / q,   p = argmax_j |even_j|

each at the direction whose amplitude, |mean_j odd_j| or |even_p|, is largest; q is the even coefficient of a ridge of
height one at its best scale, so that both are grey levels. The logarithm of the amplitude is a parabola in the shear
near its top, as the Gaussian along the edge is: three neighbouring shears give the direction between them. A ridge of
width b has even_j ∝ (b/2a_j) exp(-(b/2a_j)²/2), hence b from two scales. Where the wrong phase passes zero along the
normal, there the singularity lies between the pixels.

Reference: Reisenhofer, Kiefer, King, Exp. Fluids 57, 2016. CoShREM's measure is edge / max_j odd_j.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import Array
from microlocal.frames.complex_shearlet import ShearletSystem
from microlocal.wavefront.fields import FARTHEST, TINY, Field, beside, thinned
from microlocal.wavefront.thresholds import gradient_noise

# The even coefficient of a ridge of height one at the scale of half its width.
RIDGE = 2 * math.sqrt(math.pi / 2) * math.exp(-0.5)
TINY32 = float(np.finfo(np.float32).tiny)
# Scales, from the finest on, whose wrong phase places the singularity.
PLACING = 2
# Rounding of the transform, as a part of the largest grey value.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}

Planes = dict[str, Tensor]


@dataclass(frozen=True)
class Congruency:
    """What phase congruency is computed with: the shearlets, and β, how much the wrong phase counts."""

    system: ShearletSystem = field(default_factory=ShearletSystem)
    penalty: float = 0.5

    @property
    def margin(self) -> int:
        """Pixels by which an image is continued by reflection: where the longest shearlet has all but ended."""
        return math.ceil(2.5 * max(self.system.lengths.max(), self.system.widths.max()))

    @property
    def blur(self) -> float:
        """The variance along the edge, pixels², of the shearlets that place it: of slopes 1/a_j at the zero."""
        steep = 1 / self.system.widths[:PLACING]
        return float((steep * self.system.lengths[:PLACING] ** 2).sum() / steep.sum())


def respond(image: Float[Tensor, "row col"], settings: Congruency, ridges: bool = False) -> tuple[Field, ...]:
    """Return the field of edges, and of ridges if wanted, of an image in float32 or float64."""
    best: dict[str, Planes] = {"edge": {}, "ridge": {}} if ridges else {"edge": {}}
    for vertical, bank in _coefficients(image, settings.system, settings.margin):
        window: list[dict[str, Planes]] = []
        for k, coefficients in bank:
            window.append({kind: _STATISTICS[kind](coefficients, settings) for kind in best})
            if len(window) == 3:
                for kind, found in best.items():
                    _compare(found, [w[kind] for w in window], settings.system, vertical, k - 1)
                window.pop(0)
    level = gradient_noise(_array(best["edge"]["amplitude"]))
    floor = ROUNDING[image.dtype] * float(image.abs().max())
    return tuple(_field(found, max(level, floor), settings.blur) for found in best.values())


def _coefficients(
    image: Tensor, system: ShearletSystem, margin: int
) -> Iterator[tuple[bool, Iterator[tuple[int, Tensor]]]]:
    """Yield the cones, each with its (k, complex coefficients (scale, row, col))."""
    rows, cols = image.shape
    around = [(margin, next_fast_len(n + 2 * margin) - n - margin) for n in (rows, cols)]
    continued = torch.from_numpy(np.pad(to_numpy(image), around, mode="symmetric"))
    spectrum = torch.fft.fft2(continued)

    def bank(vertical: bool) -> Iterator[tuple[int, Tensor]]:
        for k in range(-system.shears - 1, system.shears + 2):
            responses = system.responses((continued.shape[0], continued.shape[1]), vertical, k, image.dtype)
            planes = torch.fft.ifft2(spectrum * responses)
            yield k, planes[:, margin : margin + rows, margin : margin + cols]

    for vertical in (False, True):
        yield vertical, bank(vertical)


def _edge(coefficients: Tensor, settings: Congruency) -> Planes:
    even, odd = coefficients.real, -coefficients.imag
    mean = odd.mean(dim=0)
    strength = mean.abs() - settings.penalty * even.abs().mean(dim=0)
    return {"amplitude": mean.abs(), "strength": strength, "sign": mean.sign(), "wrong": even[:PLACING].mean(dim=0)}


def _ridge(coefficients: Tensor, settings: Congruency) -> Planes:
    even, odd = coefficients.real, -coefficients.imag
    place = even.abs().argmax(dim=0, keepdim=True)
    top, wrong = even.gather(0, place)[0], odd.gather(0, place)[0]
    strength = (top.abs() - settings.penalty * wrong.abs()) / RIDGE
    planes = {"amplitude": top.abs() / RIDGE, "strength": strength, "sign": top.sign(), "wrong": wrong}
    return planes | {"width": _width(even, place, settings.system)}


_STATISTICS = {"edge": _edge, "ridge": _ridge}


def _width(even: Tensor, place: Tensor, system: ShearletSystem) -> Tensor:
    """Return the width b that explains the even coefficients at the best scale and the next, in units of ξ_1's axis."""
    if system.scales == 1:
        return torch.full_like(even[0], torch.nan)
    fine = place.clamp(max=system.scales - 2)
    a = torch.from_numpy(system.widths).to(even)
    ratio = (even.gather(0, fine) / even.gather(0, fine + 1))[0].clamp(min=1e-6).log()
    curvature = 1 / a[fine[0]] ** 2 - 1 / a[fine[0] + 1] ** 2
    square = 8 * ((a[fine[0] + 1] / a[fine[0]]).log() - ratio) / curvature
    return square.clamp(min=0).sqrt()


def _compare(best: Planes, window: list[Planes], system: ShearletSystem, vertical: bool, k: int) -> None:
    """Take over where shear k is better than the best so far; its neighbours say where between them the top lies."""
    before, here, after = (w["amplitude"].clamp(min=TINY32).log() for w in window)
    shift = ((after - before) / (2 * (2 * here - before - after)).clamp(min=1e-3)).clamp(-1, 1)
    slope = (k + shift) / system.shears
    angle = math.pi / 2 - slope.atan() if vertical else slope.atan()
    planes = window[1] | {"angle": angle}
    if "width" in planes:
        planes["width"] = planes["width"] / (1 + slope.square()).sqrt()
    if not best:
        best.update(planes)
        return
    better = planes["amplitude"] > best["amplitude"]
    for name, plane in planes.items():
        best[name] = torch.where(better, plane, best[name])


def _array(plane: Tensor) -> Array:
    return to_numpy(plane.double())


def _field(found: Planes, noise: float, blur: float) -> Field:
    """Return the field with the normal to the bright side (edges), thinned, with offsets by the wrong phase."""
    angle, sign, wrong = (_array(found[name]) for name in ("angle", "sign", "wrong"))
    ridge = "width" in found
    normal = angle % np.pi if ridge else (angle + np.where(sign < 0, np.pi, 0.0)) % (2 * np.pi)
    strength = np.maximum(_array(found["strength"]), 0.0)
    thin, top = thinned(strength, normal)
    # The odd coefficient changes its sign with the direction it is measured along; the even one does not.
    offset = _projected(wrong, angle, normal) if ridge else _crossing(wrong, *beside(wrong, normal))
    offset = np.where(np.abs(offset) <= FARTHEST, offset, top)
    width = _array(found["width"]) if ridge else np.full(strength.shape, np.nan)
    return Field(strength, normal, thin, offset, width, noise, blur)


def _projected(wrong: Array, angle: Array, normal: Array) -> Array:
    right, up = wrong * np.cos(angle), wrong * np.sin(angle)
    cos, sin = np.cos(normal), np.sin(normal)
    ahead, behind = (x * cos + y * sin for x, y in zip(beside(right, normal), beside(up, normal), strict=True))
    return _crossing(right * cos + up * sin, ahead, behind)


def _crossing(here: Array, ahead: Array, behind: Array) -> Array:
    """Return where a line through the values ahead and behind, and here, passes zero; infinity where it is flat."""
    rise = ahead - behind
    return np.where(np.abs(rise) > TINY, -2 * here / np.where(rise == 0, 1.0, rise), np.inf)
