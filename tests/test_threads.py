"""Threads: the setting of torch survives callers that come and go in any order."""

import numba
import torch

from microlocal.kernels.threads import fft_threads_for, own_threads_for, threads_allowed, torch_held_at_one


def test_holders_that_end_in_any_order_leave_the_setting_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first, second = fft_threads_for(1), torch_held_at_one()
        first.__enter__()
        assert second.__enter__() == 1  # the second caller has no threads to share out
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 3
        with fft_threads_for(1 << 30):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_iterations_keep_torch_at_one_thread_and_kernels_at_all_of_them():
    before, limit = torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    torch.set_num_threads(2)
    try:
        with own_threads_for(256 * 256):
            assert torch.get_num_threads() == 1
            assert threads_allowed() == min(2, limit)
            with torch_held_at_one() as threads:  # lanes of a frame within a step
                assert threads == 2
        assert torch.get_num_threads() == threads_allowed_by_torch() == 2
        with own_threads_for(1 << 30):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def threads_allowed_by_torch() -> int:
    with torch_held_at_one() as threads:
        return threads
