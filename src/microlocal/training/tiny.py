"""The smallest useful table [data] of scans: what the laws of tasks are tried on."""

from typing import Any

SCANS: dict[str, Any] = {
    "objects": {"ellipses": 1.0},
    "pixels": 16,
    "detector": 23,
    "arc": {"low": 90.0, "high": 120.0},
    "step": {"low": 6.0, "high": 8.0},
    "noise": {"low": 0.01, "high": 0.02},
    "scales": 2,
    "iterations": 10,
}
