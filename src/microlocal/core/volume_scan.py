"""A scan of a volume: projections, the geometry that measured them, and where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from microlocal.core.brief import Brief
from microlocal.core.checks import finite, floating, numbers_of
from microlocal.core.errors import GeometryError, InputError
from microlocal.core.geometry3d import FlatPanel, Geometry3D
from microlocal.core.scan import Source
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid

AnyGeometry3D = Geometry3D | ViewVectors


@dataclass(frozen=True, eq=False, repr=False)
class VolumeScan(Brief):
    """Line integrals of a volume with their geometry: what ``Scan`` is for slices.

    Parameters: ``data`` (*batch, angle, v, u), dimensionless line integrals of attenuation in 1/unit; ``geometry``;
    ``grid``, the volume that the file or its community expects; ``source``; ``warnings``, sentences a reader wants
    said aloud.

    Raises GeometryError when data and geometry disagree, InputError for data that are not finite floats.

    >>> import torch
    >>> from microlocal.core.geometry3d import ConeBeam
    >>> cone = ConeBeam((0.0, 1.0), FlatPanel(2, 3, (1.0, 1.0)), source_axis=9.0, source_detector=12.0)
    >>> VolumeScan(torch.ones(2, 2, 3), cone, cone.default_grid()).views([1]).data.shape
    torch.Size([1, 2, 3])
    """

    data: Float[Tensor, "*batch angle v u"]
    geometry: AnyGeometry3D
    grid: VolumeGrid
    source: Source = field(default_factory=Source)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.data.shape[-3:]) != self.geometry.shape:
            views, rows, cols = self.geometry.shape
            raise GeometryError(
                "VolumeScan",
                expected=f"data (*batch, {views} angles, {rows} rows, {cols} columns)",
                got=str(tuple(self.data.shape)),
                do="Give one angle per projection and the panel's rows and columns.",
            )
        floating(self.data, "VolumeScan.data")
        finite(self.data, "VolumeScan.data", "Mask or repair the bad pixels before building the scan.")

    def views(self, chosen: Sequence[int]) -> "VolumeScan":
        """Return the scan with the chosen views only. Raises InputError for numbers of views that are none."""
        index = numbers_of(chosen, self.geometry.shape[0], "views", "VolumeScan.views")
        if index.size == 0:
            raise InputError("VolumeScan.views", expected="at least one view", got="none", do="Widen the selection.")
        return replace(self, data=self.data[..., index, :, :].contiguous(), geometry=self.geometry.select(index))


def panel_of(geometry: AnyGeometry3D) -> tuple[int, int]:
    """Return rows and columns of the panel of any geometry of volumes."""
    return geometry.shape[1], geometry.shape[2]


def cropped(geometry: AnyGeometry3D, rows: range, cols: range, binning: int = 1) -> AnyGeometry3D:
    """Return the geometry of a part of the panel whose pixels are joined in blocks of ``binning`` x ``binning``.

    ``rows`` and ``cols`` run without steps through pixels of the panel; what is left of a block at their ends is
    dropped. Every pixel stays where it stands, and a block stands in the middle of its pixels.
    Raises InputError where no block is left.

    >>> from microlocal.core.geometry3d import ParallelBeam3D
    >>> beam = ParallelBeam3D((0.0,), FlatPanel(5, 6, (1.0, 1.0)))
    >>> cropped(beam, range(5), range(6), 2).detector
    FlatPanel(rows=2, cols=3, pitch=(2.0, 2.0), offset=(-0.5, 0.0))
    """
    sizes = len(rows) // binning, len(cols) // binning
    if min(sizes) < 1:
        got = f"{len(rows)} x {len(cols)} pixels"
        raise InputError("binning", expected=f"at least {binning} x {binning} pixels", got=got, do="Bin less.")
    whole = panel_of(geometry)
    # How many pixels the middle of the part lies off the middle of the panel.
    moves = tuple(
        part.start + (size * binning - 1) / 2 - (count - 1) / 2
        for part, size, count in zip((rows, cols), sizes, whole, strict=True)
    )
    if isinstance(geometry, ViewVectors):
        return _cropped_table(geometry, sizes, moves, binning)
    panel = geometry.detector
    pitch = (panel.pitch[0] * binning, panel.pitch[1] * binning)
    offset = (panel.offset[0] + moves[0] * panel.pitch[0], panel.offset[1] + moves[1] * panel.pitch[1])
    return replace(geometry, detector=FlatPanel(*sizes, pitch, offset))


def _cropped_table(
    geometry: ViewVectors, sizes: tuple[int, int], moves: tuple[float, ...], binning: int
) -> ViewVectors:
    table = geometry.table.copy()
    u, v = table[:, 6:9].copy(), table[:, 9:12].copy()
    table[:, 3:6] += moves[0] * v + moves[1] * u
    table[:, 6:9], table[:, 9:12] = binning * u, binning * v
    return replace(geometry, table=table, rows=sizes[0], cols=sizes[1])
