"""Cone-beam scans in the layout of a Nikon scanner, made without the package's own geometry.

The frame is that of the resting source, as the Core Imaging Library's reader describes it: source in the origin, the
panel at y = SrcToDetector, the axis of rotation through (-ObjectOffsetX, SrcToObject, 0), the object turning
counter-clockwise by 180° - InitialAngle - k AngularStep. Pictures begin at the upper end, and at the end of largest x.
"""

import math
from pathlib import Path

import numpy as np
import tifffile

from microlocal.data.phantoms3d import Ellipsoid, volume

# A pear with a stone beside the axis and a lid: nothing in it is symmetric.
SHAPES = [
    Ellipsoid(0.02, (7.0, 5.5, 6.0), (1.0, -0.5, 0.4), 0.5),
    Ellipsoid(0.03, (1.6, 1.6, 1.6), (3.0, 2.0, -2.0)),
    Ellipsoid(-0.02, (1.5, 2.0, 1.2), (-2.0, -1.0, 2.5)),
]
KEYS = {
    "Name": "pear",
    "InputSeparator": "_",
    "SrcToObject": 60.0,
    "SrcToDetector": 150.0,
    "DetectorPixelsX": 56,
    "DetectorPixelSizeX": 0.8,
    "DetectorOffsetX": 0.0,
    "DetectorPixelsY": 44,
    "DetectorPixelSizeY": 0.8,
    "DetectorOffsetY": 0.0,
    "Units": "mm",
    "Projections": 90,
    "InitialAngle": 25.0,
    "AngularStep": 4.0,
    "WhiteLevel": 60000.0,
    "MaskRadius": 8.0,
}


def keys(**changes: object) -> dict[str, object]:
    """Return the keys of a scan with some of them changed; None leaves one out."""
    return {name: value for name, value in (KEYS | changes).items() if value is not None}


def line_integrals(told: dict[str, object]) -> np.ndarray:
    """Return exact line integrals (view, row, column) as the scanner's pictures hold them."""
    value = {name: float(v) for name, v in told.items() if isinstance(v, int | float)}
    rows, cols = int(value["DetectorPixelsY"]), int(value["DetectorPixelsX"])
    x = -(np.arange(cols) - (cols - 1) / 2) * value["DetectorPixelSizeX"] - value.get("DetectorOffsetX", 0.0)
    z = -(np.arange(rows) - (rows - 1) / 2) * value["DetectorPixelSizeY"] + value.get("DetectorOffsetY", 0.0)
    pixels = np.stack(np.broadcast_arrays(x[None, :], value["SrcToDetector"], z[:, None]), axis=-1)
    axis = np.array([-value.get("ObjectOffsetX", 0.0), value["SrcToObject"], 0.0])
    # The object's frame in the world: its z is the axis of rotation.
    lean, roll = math.radians(value.get("ObjectTilt", 0.0)), math.radians(value.get("ObjectRoll", 0.0))
    about_x = np.array([[1, 0, 0], [0, math.cos(lean), math.sin(lean)], [0, -math.sin(lean), math.cos(lean)]])
    about_y = np.array([[math.cos(roll), 0, math.sin(roll)], [0, 1, 0], [-math.sin(roll), 0, math.cos(roll)]])
    frame = about_x @ about_y
    views = []
    for k in range(int(value["Projections"])):
        turn = math.radians(180.0 - value["InitialAngle"] - k * value["AngularStep"])
        spin = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        to_object = np.linalg.inv(frame @ spin)
        source = to_object @ -axis
        ends = (pixels - axis) @ to_object.T
        directions = ends - source
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        views.append(sum(shape.line_integral(np.broadcast_to(source, ends.shape), directions) for shape in SHAPES))
    return np.array(views)


def nikon(folder: Path, inner: str = "", **changes: object) -> Path:
    """Write a scan; return its .xtekct file."""
    told = keys(**changes)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / inner
    pictures.mkdir(parents=True, exist_ok=True)
    counts = float(told.get("WhiteLevel", 60000.0)) * np.exp(-line_integrals(told))
    for number, picture in enumerate(np.round(counts).astype(np.uint16), 1):
        tifffile.imwrite(pictures / f"{told['Name']}_{number:04d}.tif", picture, photometric="minisblack")
    lines = ["[XTekCT]", *(f"{name}={value}" for name, value in told.items()), f"InputFolderName={inner}"]
    path = folder / f"{told['Name']}.xtekct"
    path.write_text("\r\n".join([*lines, "", "[Xrays]", "XraykV=120", "[DICOM]", "DICOMTags=<a b=%c/>", ""]))
    return path


def truth(grid: object) -> np.ndarray:
    """Return the object on a grid of the package."""
    return volume(SHAPES, grid, oversampling=3)
