"""From a tensor of any kind to numpy: the one way by which tensors that a user brings leave torch."""

import numpy as np
from jaxtyping import Shaped
from torch import Tensor


def to_numpy(x: Shaped[Tensor, "..."]) -> Shaped[np.ndarray, "..."]:
    """Return the values of ``x`` as an array, which shares its memory where it can: treat it as read-only.

    It takes tensors with a gradient, on any device, and views that torch has yet to conjugate or to negate.

    >>> import torch
    >>> to_numpy(torch.tensor([1 - 2j]).conj().imag.requires_grad_()).tolist()
    [2.0]
    """
    return x.detach().cpu().resolve_conj().resolve_neg().numpy()
