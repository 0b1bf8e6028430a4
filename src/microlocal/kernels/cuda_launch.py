"""Launch numba's CUDA kernels on torch's tensors: on their device, on torch's current stream, without a copy.

Tensors on the host are handed over as numpy arrays: so the tests run the kernels in numba's simulator, without a GPU.
"""

from typing import Any

import torch
from jaxtyping import Shaped
from numba import cuda
from torch import Tensor

THREADS = 128  # per block: four warps; the kernels share nothing within a block, so the number is not critical
_LEAST = 128  # blocks: numba warns of fewer, and idle ones cost nothing


def launch(kernel: Any, count: int, *arguments: Shaped[Tensor, "..."] | float) -> None:
    """Run ``kernel`` on ``count`` threads (and on the few more that fill the last block); the first is a tensor."""
    if count == 0:
        return
    tensors = [a.detach() if isinstance(a, Tensor) else a for a in arguments]
    device = next(a.device for a in tensors if isinstance(a, Tensor))
    if device.type != "cuda":
        kernel[-(-count // THREADS), THREADS](*(a.numpy() if isinstance(a, Tensor) else a for a in tensors))
        return
    # Torch and numba each keep their own notion of the current device.
    with torch.cuda.device(device), cuda.gpus[device.index]:
        stream = cuda.external_stream(torch.cuda.current_stream().cuda_stream)
        run = kernel[max(-(-count // THREADS), _LEAST), THREADS, stream]
        run(*(cuda.as_cuda_array(a) if isinstance(a, Tensor) else a for a in tensors))
