"""Every random draw of a training is a function of the seed and of what it is for, so that nothing needs remembering.

Training resumed at a step, or divided among processes, draws what an uninterrupted training of one process draws.
"""

import hashlib

import torch
from jaxtyping import Int
from torch import Tensor

from microlocal.core.seeding import generator

VALIDATION = 2**40  # validation examples have seeds from here on, far from those of training


def mixed(seed: int, *purpose: object) -> int:
    """Return a seed for one purpose: 63 bits of the hash of all arguments.

    >>> mixed(0, "step", 1) == mixed(0, "step", 1), mixed(0, "step", 1) == mixed(0, "step", 2)
    (True, False)
    """
    digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def example_seed(seed: int, position: int, pool: int) -> int:
    """Return the seed of the example at a position of the endless row of examples that a training reads.

    With a ``pool`` of n, every n positions are one pass over the seeds seed..seed+n-1 in an order of their own; with
    none (0), each position has an example of its own.

    >>> sorted(example_seed(10, k, 4) for k in range(4, 8))
    [10, 11, 12, 13]
    """
    if pool == 0:
        return seed + position
    return seed + int(_order(seed, position // pool, pool)[position % pool])


def _order(seed: int, turn: int, pool: int) -> Int[Tensor, " pool"]:
    return torch.randperm(pool, generator=generator(mixed(seed, "order", turn)))
