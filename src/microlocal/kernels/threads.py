"""One thread setting for every numba kernel: what ``torch.set_num_threads`` says."""

import numba
import torch

_WORTH_A_SECOND_THREAD = 1_000_000  # updates, about half a millisecond of one core: less than waking another costs


def set_threads(updates: int) -> None:
    """Let the next kernel use torch's number of threads, or a single one where there is little to do."""
    allowed = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(allowed if updates > _WORTH_A_SECOND_THREAD else 1)
