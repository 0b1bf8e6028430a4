"""microlocal's ray kernels where the default is the non-uniform FFT."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ours import VERSION, adjoint, forward, parallel

CASES = {
    "parallel forward": forward(parallel, "rays"),
    "parallel adjoint": adjoint(parallel, "rays"),
}
__all__ = ["CASES", "VERSION"]
