"""Filtered backprojection of volumes: Feldkamp's formula for cone beam, and the parallel beam tilted and rolled.

    f(x) = cos τ Σ_t Δt  (R/U)²  [w (D/√(D² + u² + v²)) p(t, v, ·) * h](v(x, t), u(x, t))

with the ramp h along u, U the depth of x seen from the source, w the planar redundancy weights of the middle row and τ
the tilt; for parallel beam R/U and the root are 1. What it inverts:

    cone beam, τ = 0: the middle plane exactly (full, short and offset scans), volumes that do not change along z, and
        elsewhere approximately, with low values far from the middle plane where the cone is wide;
    parallel beam, τ = 0: every slice exactly; a rolled panel is filtered across the axis of rotation;
    τ > 0 (laminography), full turn: the measured frequencies exactly, |k_z| <= |k_xy| cot τ; the cone around z
        is missing. The factor cos τ is the Jacobian of (t, k_u, k_v) -> k, |k_u| cos τ. Arcs below a full turn give a
        partial sum.

References: Feldkamp, Davis and Kress, J. Opt. Soc. Am. A 1 (1984); Myagotin et al., IEEE Trans. Image Process. 22
(2013), for laminography.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import floating, trailing_shape
from microlocal.core.errors import GeometryError
from microlocal.core.geometry3d import ConeBeam, FlatPanel, Geometry3D, ParallelBeam3D
from microlocal.core.volume import VolumeGrid
from microlocal.kernels import pixel_columns, pixel_driven3d, pixel_driven_torch
from microlocal.kernels.cuda_kernels import cuda_kernels
from microlocal.operators.autograd import linear_pair
from microlocal.operators.ray_checks import check_volume
from microlocal.reconstruction.fbp import ramp_filter, widened
from microlocal.reconstruction.redundancy import redundancy, view_steps

Array = NDArray[np.float64]

# Views filtered together: bounds the working memory to a few panels.
CHUNK = 16


def fdk(
    data: Float[Tensor, "*batch angle v u"], geometry: ConeBeam, grid: VolumeGrid
) -> Float[Tensor, "*batch slice row col"]:
    """Return Feldkamp's filtered backprojection of cone-beam ``data`` on ``grid``, in 1/unit.

    Linear, and differentiable in the data. Any arc and panel offset; of a short arc the measured part, in the right
    scale. Raises ShapeError for data that do not fit, GeometryError for other geometries and a panel rolled around the
    beam, InputError for other numbers than float32 and float64.

    >>> panel = FlatPanel(3, 32, (1.0, 1.0))
    >>> views = tuple(np.radians(np.arange(0.0, 360.0, 6.0)))
    >>> cone = ConeBeam(views, panel, source_axis=100.0, source_detector=200.0)
    >>> fdk(torch.ones(60, 3, 32), cone, VolumeGrid((1, 5, 6), 0.5)).shape
    torch.Size([1, 5, 6])
    """
    _of_kind(geometry, ConeBeam, "fdk")
    if geometry.roll_rad != 0:
        got = f"roll_rad = {geometry.roll_rad:.6g}"
        do = "Turn the projections by the roll first, or use an iterative method with RayTransform3D."
        raise GeometryError("fdk", expected="a panel whose rows are level", got=got, do=do)
    return _filtered_backprojection(data, geometry, grid, "fdk")


def fbp_volume(
    data: Float[Tensor, "*batch angle v u"], geometry: ParallelBeam3D, grid: VolumeGrid
) -> Float[Tensor, "*batch slice row col"]:
    """Return the filtered backprojection of parallel-beam ``data`` on ``grid``, in 1/unit: stacks and laminography.

    Linear, and differentiable in the data. Any tilt, roll, arc and panel offset (a rolled panel should see the whole
    object). Raises ShapeError for data that do not fit, GeometryError for other geometries, InputError for other
    numbers than float32 and float64.
    """
    _of_kind(geometry, ParallelBeam3D, "fbp_volume")
    return _filtered_backprojection(data, geometry, grid, "fbp_volume")


def _of_kind(geometry: Geometry3D, kind: type[Geometry3D], who: str) -> None:
    if not isinstance(geometry, kind):
        do = "Use fdk for a ConeBeam, fbp_volume for a ParallelBeam3D, filtered_backprojection in the plane."
        raise GeometryError(who, expected=f"a {kind.__name__}", got=type(geometry).__name__, do=do)


def _filtered_backprojection(data: Tensor, geometry: Geometry3D, grid: VolumeGrid, who: str) -> Tensor:
    check_volume(geometry, grid, who)
    floating(trailing_shape(data, geometry.shape, "angle, v, u", who, "Give the geometry of these data."), who)
    if not data.numel():
        return data.sum().expand((*data.shape[:-3], *grid.shape))
    stack = data.reshape(-1, *geometry.shape)
    volumes, backprojection = stack.new_zeros((stack.shape[0], *grid.shape)), Backprojection.of(geometry, grid)
    for first in range(0, geometry.shape[0], CHUNK):
        views = range(first, min(first + CHUNK, geometry.shape[0]))
        volumes = backprojection.added(volumes, stack[:, views], views)
    return volumes.reshape(*data.shape[:-3], *grid.shape)


@dataclass(frozen=True, eq=False)
class Backprojection:
    """A filtered backprojection whose views come a few at a time, in any order.

    Parameters: ``shares`` (angle, 1, u) of the data of all views, since a view's depend on where the others end;
    ``cosines`` (v, u); ``steps`` of the views, and ``power`` of the depth that they are divided by.
    """

    geometry: Geometry3D
    grid: VolumeGrid
    shares: Array
    cosines: Array
    steps: Array
    power: int

    @classmethod
    def of(cls, geometry: Geometry3D, grid: VolumeGrid) -> "Backprojection":
        """Return what all views of ``geometry`` have in common."""
        steps = view_steps(geometry.midplane()) * math.cos(geometry.tilt_rad)
        power = 2 if isinstance(geometry, ConeBeam) else 0
        return cls(geometry, grid, _shares(geometry)[:, None, :], _cosines(geometry), steps, power)

    def added(
        self, volumes: Float[Tensor, "batch slice row col"], part: Float[Tensor, "batch view v u"], views: range
    ) -> Float[Tensor, "batch slice row col"]:
        """Return the volumes with these views added: in place, unless a gradient is wanted."""
        weights = torch.tensor(self.shares[views] * self.cosines).to(part)
        # The scale of the ramp is that of the axis.
        filtered, wide = _filtered(part * weights, self.geometry.select(views))
        return _with(volumes, filtered, panel_map(wide, self.grid), self.steps[views], self.power)


def _with(volumes: Tensor, part: Tensor, table: Array, steps: Array, power: int) -> Tensor:
    """Return the volumes with the views of ``part`` added: in place, unless a gradient is wanted."""
    if not part.requires_grad:
        _accumulate(part, table, steps, power, volumes)
        return volumes
    panel = (part.shape[-2], part.shape[-1])

    def added(views: Tensor) -> Tensor:
        fresh = torch.zeros_like(volumes)
        _accumulate(views, table, steps, power, fresh)
        return fresh

    return volumes + linear_pair(
        part, added, lambda back: pixel_driven_torch.spread3d(back, table, steps, power, panel)
    )


def _accumulate(part: Tensor, table: Array, steps: Array, power: int, volumes: Tensor) -> None:
    if part.device.type == "cpu":
        kernel = pixel_columns if pixel_columns.applies(table) else pixel_driven3d
        kernel.accumulate(part.detach().numpy(), table, steps, power, volumes.detach().numpy())
    else:
        cuda_kernels("pixel_driven_cuda", "fdk").accumulate3d(part, table, steps, power, volumes)


def _filtered(weighted: Tensor, geometry: Geometry3D) -> tuple[Tensor, Geometry3D]:
    """Return the filtered views and their geometry, whose panel may have grown sideways."""
    pitch_v, pitch_u = (p / geometry.magnification for p in geometry.detector.pitch)
    if geometry.roll_rad != 0:
        return _oblique_ramp(weighted, (pitch_v, pitch_u), geometry.roll_rad), geometry
    weighted, planar = widened(weighted, geometry.midplane())
    panel, row = geometry.detector, planar.detector
    wide = FlatPanel(panel.rows, row.count, panel.pitch, (panel.offset[0], row.offset))
    return ramp_filter(weighted, pitch_u), replace(geometry, detector=wide)


def _shares(geometry: Geometry3D) -> Array:
    """Return the planar redundancy weights (angle, u); across a rolled panel the offset is left aside."""
    planar = geometry.midplane()
    return redundancy(planar if geometry.roll_rad == 0 else planar.with_offset(0.0))


def _cosines(geometry: Geometry3D) -> Array:
    """Return the cosine of the angle between every ray and the central one, (v, u)."""
    v, u = geometry.detector.positions()
    if not isinstance(geometry, ConeBeam):
        return np.ones((v.size, u.size))
    return geometry.source_detector / np.sqrt(geometry.source_detector**2 + u**2 + v[:, None] ** 2)


def _oblique_ramp(data: Tensor, pitch: tuple[float, float], roll: float) -> Tensor:
    """Filter by the ramp in the direction across the axis of rotation, (cos ρ, -sin ρ) in (u, v), in two dimensions."""
    rows, cols = data.shape[-2:]
    response = torch.from_numpy(_oblique_response(rows, cols, pitch, roll)).to(data)
    size = (2 * rows, 2 * cols)
    spectrum = torch.fft.rfft2(data, s=size) * response
    return torch.fft.irfft2(spectrum, s=size)[..., :rows, :cols].contiguous()


@lru_cache(maxsize=2)
def _oblique_response(rows: int, cols: int, pitch: tuple[float, float], roll: float) -> Array:
    """Return the ramp along a line across the panel at the frequencies of a doubled panel, (2 rows, cols + 1).

    The ramp ends where its line leaves the doubled panel: what lies beyond meets no data, but would come back into
    them by the period of the transform and take some per cent off every value.
    """
    across = np.abs(
        np.fft.rfftfreq(2 * cols, pitch[1]) * math.cos(roll)
        - np.fft.fftfreq(2 * rows, pitch[0])[:, None] * math.sin(roll)
    )
    fine, step = 8 * (rows + cols), min(pitch)
    impulse = torch.zeros(1, fine, dtype=torch.float64)
    impulse[0, fine // 2] = 1.0
    kernel = ramp_filter(impulse, step).numpy()[0]
    reach = min(cols * pitch[1] / max(abs(math.cos(roll)), 1e-9), rows * pitch[0] / max(abs(math.sin(roll)), 1e-9))
    kernel[np.abs(np.arange(fine) - fine // 2) * step >= reach] = 0.0
    # The transform of the band-limited ramp as a function of frequency; nothing beyond its band.
    ramp = np.fft.rfft(np.fft.ifftshift(kernel)).real
    return np.interp(across, np.fft.rfftfreq(fine, step), ramp, right=0.0)


def panel_map(geometry: Geometry3D, grid: VolumeGrid) -> Float[np.ndarray, "view 3 4"]:
    """Return depth, u depth and v depth as affine functions (constant, slice, row, col) of a voxel's index.

    A voxel x = s + λ (c + u U + v V - s), with c the first pixel and U, V the steps on the panel, gives (λ, λ u, λ v)
    by a 3 x 3 solve; the depth is λ relative to the axis. For parallel rays x = c + u U + v V - λ d and the depth is 1.
    """
    vectors = geometry.to_vectors()
    start, corner, u, v = np.moveaxis(vectors.in_grid(grid), 1, 0)
    origin = start if vectors.diverging else corner
    basis = np.stack((corner - start if vectors.diverging else -start, u, v), axis=2)
    inverse = np.linalg.inv(basis)
    table = np.concatenate((-inverse @ origin[:, :, None], inverse), axis=2)
    if not vectors.diverging:
        table[:, 0] = [1.0, 0.0, 0.0, 0.0]
        return table
    return table * geometry.magnification
