"""How fast and in which precision a step is done."""

import math

import torch

from microlocal.core.errors import InputError
from microlocal.training.recipe import Run


def learning_rate(run: Run, step: int) -> float:
    """Return the rate of a step (from 0): a linear warm-up, then half a cosine down to zero at ``run.steps``.

    >>> [learning_rate(Run(steps=4, learning_rate=1.0, warmup=2), k) for k in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if step < run.warmup:
        return run.learning_rate * (step + 1) / run.warmup
    if run.schedule == "constant":
        return run.learning_rate
    share = (step - run.warmup) / max(1, run.steps - run.warmup)
    return run.learning_rate * (1 + math.cos(math.pi * min(1.0, share))) / 2


def precision_of(run: Run, device: torch.device) -> torch.dtype:
    """Return the type in which the network computes; raises InputError for 16-bit floats on the CPU."""
    if run.precision == "auto":
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if run.precision == "float16" and device.type == "cpu":
        do = "Take bfloat16 or float32."
        raise InputError("[run] precision", expected="float32 or bfloat16 on the CPU", got="float16", do=do)
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[run.precision]
