"""Weights of a network that makes things up, for the tests of what stands around it: seeded, in a second."""

from pathlib import Path

import torch

from microlocal.core.seeding import generator
from microlocal.frames import DyadicShearletFrame
from microlocal.networks.denoisers import denoiser
from microlocal.networks.invisible import InvisibleNetwork
from microlocal.networks.weights import save_weights

SCALES = 3
FACTS = ("noise", "step between views", "detector pixels for a pixel of the image", "filled pixels")


def tiny_weights(path: Path, wedge: tuple[float, float] = (20.0, 100.0), draw_seed: int = 4, **changes: object) -> Path:
    """Write weights for parallel beams with a missing ``wedge`` in degrees; ``changes`` of the card's entries."""
    frame = DyadicShearletFrame((64, 64), SCALES)
    widths = [4] * SCALES
    network = InvisibleNetwork(frame.channels, widths, gains=[20.0] * (SCALES + 1))
    draw = generator(draw_seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    names = (*FACTS, *(f"contrast at scale {k}" for k in range(1, SCALES + 1)))
    ranges = {"missing wedge": list(wedge)} | {name: [0.0, 100.0] for name in names}
    card = {
        "task": "learn-the-invisible",
        "architecture": {
            "scales": SCALES,
            "network": {"channels": list(frame.channels), "widths": widths, "pairs": 1},
        },
        "trained on": {"beam": "parallel", "ranges": ranges, "data": {"objects": {"ellipses": 0.75, "needle": 0.25}}},
        "seed": 7,
        "steps": 100,
        "of_steps": 100,
        "minutes": 12.5,
        "device": "CPU, 2 threads",
        "command": "microlocal train tiny.toml",
        "metrics": {"psnr of f*": 20.5, "psnr": 24.25},
    }
    return save_weights(path, network.state_dict(), card | changes)


DENOISERS = {
    "shrinkage": {"kind": "adaptive-shrinkage", "widths": [4, 6]},
    "nonexpansive": {"kind": "nonexpansive", "dilations": [1, 1], "filters": 8, "side": 3},
}


def tiny_denoiser(path: Path, kind: str = "nonexpansive", **changes: object) -> Path:
    """Write weights of a denoiser that has learned nothing but removes some noise; ``changes`` of the card."""
    torch.manual_seed(0)
    network = denoiser(DENOISERS[kind])
    trained_on = {
        "data": {"scenes": {"leaves": 1.0}, "pixels": 32, "folder": ""},
        "examples": 8,
        "ranges": {"noise of images in [0, 1]": [0.02, 0.2]},
    }
    card = {"task": "denoising", "architecture": DENOISERS[kind], "trained on": trained_on, "seed": 3, "minutes": 0.5}
    return save_weights(path, network.state_dict(), card | changes)
