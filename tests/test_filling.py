"""Gaps filled from blocks: against a brute-force search for the blocks."""

import pytest
import torch

from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.operators.filling import Filling


def around(r, c, side):
    return slice(r // side * side, (r // side + 1) * side), slice(c // side * side, (c // side + 1) * side)


def by_search(known, f):
    """Return every pixel by looking for the least block of the grid that holds a known one."""
    rows, cols = known.shape
    found = f.clone()
    for r in range(rows):
        for c in range(cols):
            side = 1
            while not bool(known[block := around(r, c, side)].any()):
                side *= 2
            found[r, c] = f[block][known[block]].mean()
    return found


@pytest.mark.parametrize("shape", [(9, 13), (16, 8), (5, 21)])
def test_filling_is_the_mean_of_the_least_block_that_is_known(shape):
    known = torch.rand(shape, generator=generator(1)) > 0.8
    known[: shape[0] // 2, : shape[1] // 2] = False
    f = torch.rand(shape, dtype=torch.float64, generator=generator(2))
    fill = Filling(known)
    assert torch.allclose(fill(f), by_search(known, f), atol=1e-14)
    assert torch.equal(fill(f)[known], f[known])
    assert torch.allclose(fill(torch.ones(shape)), torch.ones(shape))
    dense = fill(torch.eye(known.numel(), dtype=torch.float64).reshape(-1, *shape)).flatten(1)
    norm = float(torch.linalg.matrix_norm(dense, 2))
    assert norm <= fill.norm_bound() <= 2 * norm
    assert fill.widest <= 2 ** (max(shape) - 1).bit_length()


def test_images_with_gaps_of_their_own_are_filled_each_by_itself():
    known = torch.rand(3, 1, 8, 9, generator=generator(3)) > 0.6
    f = torch.rand(3, 1, 8, 9, dtype=torch.float64, generator=generator(4))
    found = Filling(known)(f)
    for k in range(3):
        assert torch.allclose(found[k, 0], by_search(known[k, 0], f[k, 0]), atol=1e-14)
    with pytest.raises(InputError, match="known pixels"):
        Filling(torch.stack((known[0, 0], torch.zeros(8, 9, dtype=torch.bool))))
