"""microlocal's shearlets stored at the sampling rate that each filter needs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ours import VERSION, analysis, synthesis

from microlocal.frames import DecimatedShearletFrame

CASES = {
    "shearlet analysis": analysis(DecimatedShearletFrame),
    "shearlet synthesis": synthesis(DecimatedShearletFrame),
}
__all__ = ["CASES", "VERSION"]
