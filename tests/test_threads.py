"""Threads: the setting of torch survives callers that come and go in any order."""

import torch

from microlocal.kernels.threads import fft_threads_for, torch_held_at_one


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
