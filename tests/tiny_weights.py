"""Weights of a network that makes things up, for the tests of what stands around it: seeded, in a second."""

from pathlib import Path

import torch

from microlocal.core.seeding import generator
from microlocal.frames import DyadicShearletFrame
from microlocal.networks.invisible import InvisibleNetwork
from microlocal.networks.weights import save_weights

SCALES = 3
FACTS = ("noise", "step between views", "detector pixels for a pixel of the image", "filled pixels")


def tiny_weights(path: Path, wedge: tuple[float, float] = (20.0, 100.0), **changes: object) -> Path:
    """Write weights for parallel beams with a missing ``wedge`` in degrees; ``changes`` of the card's entries."""
    frame = DyadicShearletFrame((64, 64), SCALES)
    widths = [4] * SCALES
    network = InvisibleNetwork(frame.channels, widths, gains=[20.0] * (SCALES + 1))
    draw = generator(4)
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
