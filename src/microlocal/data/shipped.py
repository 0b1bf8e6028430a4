"""The scan that comes with the package: a real limited-angle tilt series of a needle."""

from pathlib import Path

from microlocal.core.scan import Scan
from microlocal.io.read import read_scan

NEEDLE = Path(__file__).parent / "needle" / "needle.npz"


def needle() -> Scan:
    """Return six slices of a HAADF-STEM tilt series of a layered needle: 77 tilts from -76 to 76 degrees, 3.36 nm.

    Tilts from -76 to 76 degrees: 28 are not tilted to, 26 count as missing since a view stands for half a step.
    Data (6, 77, 256), float32; slice 0 is one material, the others are layered. From
    the package etspy (National Institute of Standards and Technology), see NOTICE.txt beside the file.

    >>> needle().data.shape
    torch.Size([6, 77, 256])
    """
    return read_scan(NEEDLE)
