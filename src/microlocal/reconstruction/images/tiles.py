"""Large images in tiles, with exactly the result of the whole: a network whose pixels see only so far.

A tile is denoised with a margin as wide as the network can see, at places where its grids fall as they fall on the
whole image, and the margin is cut away. What is proved of the network is therefore true of the image put together.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.progress import SILENT, Progress
from microlocal.networks.adaptive_shrinkage import SIDE, STRIDE, AdaptiveShrinkage
from microlocal.networks.deblurring_flow import DeblurringFlow
from microlocal.networks.nonexpansive import Nonexpansive
from microlocal.networks.reaction_diffusion import ReactionDiffusion
from microlocal.networks.signal_diffusion import SignalDiffusion
from microlocal.networks.symmetric_block import SymmetricBlock
from microlocal.networks.unet import Block
from microlocal.operators.windows import TILE, WHOLE, by_windows

ALIGNED = 64  # a multiple of the coarsest grid of a network

Map = Callable[[Float[Tensor, "row col"]], Float[Tensor, "row col"]]


def reach_of(network: nn.Module) -> int | None:
    """Return an upper bound of how many pixels away a pixel of the result can see; None where it is not known.

    >>> reach_of(Nonexpansive((1, 2), filters=2, side=3))
    6
    """
    if isinstance(network, (Nonexpansive, ReactionDiffusion)):
        blocks = cast(Iterable[SymmetricBlock], network.blocks)
        once = sum(block.dilation * (block.raw.shape[-1] - 1) for block in blocks)
        return once * (network.repeats if isinstance(network, Nonexpansive) else 1)
    if isinstance(network, SignalDiffusion):
        return network.repeats * len(network.activations)
    if isinstance(network, DeblurringFlow):
        once = max(*network.kernel.shape, network.flow.block.raw.shape[-1]) - 1  # there and back; a filter likewise
        return (network.flow.steps + 1) * once
    if isinstance(network, AdaptiveShrinkage):
        levels = cast(Sequence[Block], network.unet.down)
        convolutions = max(1 + 2 * len(block.pairs) for block in levels)
        coarsest = 2 ** (len(levels) - 1)
        # Down and up again, each level in its own pixels; means and interpolation add at most three of the coarsest.
        patches = convolutions * (2 * (coarsest - 1) + coarsest) + 3 * coarsest
        return STRIDE * patches + 2 * SIDE if ALIGNED % (STRIDE * coarsest) == 0 else None
    return None


def in_tiles(
    run: Map,
    plane: Float[Tensor, "row col"],
    reach: int | None,
    whole: int = WHOLE,
    tile: int = TILE,
    progress: Progress = SILENT,
) -> Float[Tensor, "row col"]:
    """Return ``run(plane)``, computed in tiles where a side is longer than ``whole`` and the reach is known."""
    margin = None if reach is None else ALIGNED * math.ceil(reach / ALIGNED)
    return by_windows(lambda part, _: run(part), plane, margin, whole, tile, progress)
