"""Threads: the setting of torch survives callers that come and go in any order, and kernels survive forks."""

import os
import subprocess
import sys

import numba
import pytest
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


FORKED = """
import math, os, signal, sys, threading
import torch
from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.frames import ShearletFrame
from microlocal.operators import NonUniformFourier, RayTransform
beam = ParallelBeam(tuple(math.pi * k / 60 for k in range(60)), Detector(190, 1.0))
grid, image = Grid((128, 128), 1.0), torch.ones(128, 128)
by_rays, by_fourier = (RayTransform(beam, grid, method) for method in ("rays", "fourier"))
trajectory, frame = NonUniformFourier(torch.rand(20000, 2), (128, 128)), ShearletFrame((128, 128))
kernels = lambda: by_rays(image), lambda: by_fourier(image), lambda: trajectory(image + 0j), lambda: frame(image)
expected = [kernel() for kernel in kernels]

def for_ever(kernel):
    while True:
        kernel()

for kernel in kernels:
    threading.Thread(target=for_ever, args=(kernel,), daemon=True).start()
for _ in range(6):
    child = os.fork()
    if not child:
        torch.set_num_threads(1)  # as a DataLoader does
        signal.alarm(20)          # seconds until a child that waits for nobody is killed
        same = all(torch.allclose(kernel(), right, atol=1e-3) for kernel, right in zip(kernels, expected))
        os._exit(not same)
    ended = os.waitpid(child, 0)[1]
    print(ended, flush=True)
    if ended:
        break
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_a_child_forked_while_other_threads_compute_computes_the_same(tmp_path):
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"] * 6
