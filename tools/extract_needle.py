"""Extract the slices that the package ships from the tilt series in the PyPI package etspy.

    pip download --no-deps etspy==1.3.0 && unzip etspy-1.3.0-*.whl
    python tools/extract_needle.py etspy/tests/test_data/HAADF_Aligned.hspy

writes src/microlocal/data/needle/needle.npz: the readings bit by bit (float32) minus the background level that the
reader finds, the tilts and the pixel size of the file. No reading is rounded or resampled.
"""

import sys
from dataclasses import replace
from pathlib import Path

from microlocal.io import read_scan, write_scan

SLICES = (60, 90, 110, 130, 150, 175)
ORIGIN = "etspy-1.3.0: etspy/tests/test_data/HAADF_Aligned.hspy"
TARGET = Path(__file__).parents[1] / "src" / "microlocal" / "data" / "needle" / "needle.npz"


def main(path: Path) -> None:
    """Extract SLICES of the series into TARGET."""
    scan = read_scan(path)
    metadata = scan.source.metadata | {"slices": list(SLICES), "notice": "src/microlocal/data/needle/NOTICE.txt"}
    sentence = f"Slices {', '.join(map(str, SLICES))} of the 256 of the series (shipped with the package)."
    chosen = replace(
        scan,
        data=scan.data[list(SLICES)].contiguous(),
        source=replace(scan.source, path=ORIGIN, metadata=metadata),
        warnings=(*scan.warnings, sentence),
    )
    sys.stdout.write(f"{write_scan(chosen, TARGET)}: {TARGET.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
