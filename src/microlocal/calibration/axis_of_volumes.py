"""The axis of rotation of a scan of a volume: where it meets the panel, given, or found in the middle row.

The middle row of an upright cone beam is a fan beam, and of a parallel beam a parallel one: what shows the axis of a
slice shows it here.
"""

from dataclasses import replace

import numpy as np
import torch

from microlocal.calibration.center import AxisEstimate, find_axis, offset_of
from microlocal.core.errors import InputError
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.scan import Scan
from microlocal.io.assemble import Views, in_order
from microlocal.io.projections import Projections


def with_axis(projections: Projections, pixels: float | None = None) -> Projections:
    """Return the projections with their axis at column ``pixels`` of the panel (from 0, along u), found where None.

    Raises InputError for a column that is not near the panel, and for tables of views, whose axis is in the table.
    """
    geometry = projections.geometry
    if not isinstance(geometry, Geometry3D):
        do = "Mend the table."
        raise InputError("--center", expected="a geometry with an axis of rotation", got="a table of views", do=do)
    count = geometry.detector.cols
    if pixels is not None and not -count <= pixels <= 2 * count:
        do = "Give the column, counted from 0, onto which the axis projects."
        raise InputError("--center", expected=f"a column near 0..{count - 1}", got=str(pixels), do=do)
    if pixels is None:
        found = found_axis(projections)
        offset, said = found.offset, found.note
    else:
        offset, said = offset_of(geometry.detector.row, pixels), ""
    panel = replace(geometry.detector, offset=(geometry.detector.offset[0], offset))
    moved = replace(geometry, detector=panel)
    return replace(projections, geometry=moved, warnings=(*projections.warnings, *filter(None, (said,))))


def found_axis(projections: Projections) -> AxisEstimate:
    """Return the axis that the row of the panel nearest to the middle plane shows."""
    geometry = projections.geometry
    if not isinstance(geometry, Geometry3D) or not geometry.upright:
        do = "Give the column, as --center PIXELS."
        raise InputError("--center auto", expected="an axis along the panel's columns", got="one that leans", do=do)
    v, _ = geometry.detector.positions()
    row = int(np.abs(v).argmin())
    band = projections.band(range(row, row + 1)).frames_of_all()[:, 0].numpy()
    views = in_order(Views(band, np.degrees(geometry.angles)))
    planar = replace(geometry.midplane(), angles_rad=tuple(np.radians(views.angles_deg).tolist()))
    data = torch.from_numpy(np.ascontiguousarray(views.data))
    return find_axis(Scan(data, planar, planar.default_grid()))
