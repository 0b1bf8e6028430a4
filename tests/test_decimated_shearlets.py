"""Decimated shearlets beyond their laws: redundancy, exactness at every size, relation to the undecimated frame."""

import math

import pytest
import torch

from microlocal.core.seeding import generator
from microlocal.frames import DecimatedShearletFrame, DecimatedShearletFrame3D, ShearletFrame
from microlocal.frames.sampling import sample
from microlocal.frames.spectra import Element


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(5))


@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (40, 97), (101, 32), (128, 20), (8, 8), (5, 7)])
def test_reconstruction_is_exact_and_redundancy_below_eight(shape):
    frame, x = DecimatedShearletFrame(shape), noise(*shape)
    assert float((frame.adjoint(frame(x)) - x).norm() / x.norm()) <= 1e-12
    assert 1 < frame.redundancy <= 8
    lower, upper = frame.bounds()
    assert max(1 - lower, upper - 1) <= 1e-12


def test_redundancy_of_the_large_systems():
    assert DecimatedShearletFrame((512, 512)).redundancy <= 4.1  # the undecimated frame has 49
    assert DecimatedShearletFrame3D((32, 32, 32), shears=(2, 2)).redundancy <= 12  # 99


def test_energy_of_every_filter_is_that_of_the_undecimated_frame():
    decimated, full, x = DecimatedShearletFrame((60, 45)), ShearletFrame((60, 45)), noise(60, 45)
    sparse = torch.stack([band.square().sum() for band in decimated.bands(decimated(x))])
    dense = torch.stack([band.square().sum() for band in full.bands(full(x))])
    assert torch.allclose(sparse, dense, rtol=1e-9)
    assert decimated.filters == full.filters


def test_noise_passes_as_declared():
    frame = DecimatedShearletFrame((20, 15))
    units = torch.eye(300, dtype=torch.float64).reshape(300, 20, 15)
    bands = frame.bands(frame(units))
    measured = torch.stack([(band.square().sum() / band[0].numel()).sqrt() for band in bands])
    assert torch.allclose(measured, frame.filter_norms(), rtol=1e-12)


def test_bands_are_views_and_pairs_stand_side_by_side():
    frame = DecimatedShearletFrame((32, 32))
    c = frame(noise(2, 32, 32))
    bands = frame.bands(c)
    assert bands[0].shape[1] == 1
    assert {band.shape[1] for band in bands[1:]} == {2}
    assert bands[0].numel() % 4 == 0  # whole pairs of both images
    start = frame.places[3].start
    assert torch.equal(bands[3][:, :, 0, 0], c[:, start : start + 2])
    bands[3][0, 0, 0, 0] = 7.0
    assert float(c[0, start]) == 7.0


def test_wrapping_never_lets_two_frequencies_fall_together():
    for node in ((0, 3), (2, 3), (3, 3), (-3, 1)):
        samples = sample(Element(0.125, None, node, 3), (96, 80))
        hits = torch.zeros(samples.grid)
        for _, here, values in samples.blocks:
            hits[here] += (values > 0).float()
        assert float(hits.max()) == 1.0


def test_magnitudes_hardly_depend_on_the_position_of_an_edge():
    """Complex coefficients: the energy in each filter's neighbourhood moves with the image instead of flickering."""
    frame = DecimatedShearletFrame((64, 64))
    r, c = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = torch.sigmoid(15 - ((r - 32) ** 2 + (c - 32) ** 2).sqrt()).double()
    energies = torch.stack(
        [torch.stack([b.square().sum() for b in frame.bands(frame(disc.roll(s, 1)))]) for s in (0, 1)]
    )
    assert torch.allclose(energies[0], energies[1], rtol=1e-9)


def test_threads_do_not_change_a_bit():
    frame, x = DecimatedShearletFrame((600, 601)), noise(600, 601).float()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = frame(x), frame.adjoint(frame(x))
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        one = frame(x), frame.adjoint(frame(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(two[0], one[0])
    assert torch.equal(two[1], one[1])


def test_weights_fit_the_flat_coefficients():
    frame = DecimatedShearletFrame((32, 30))
    weights = frame.spread(frame.filter_norms())
    assert weights.shape == frame.codomain_shape
    assert math.isclose(float(weights[0]), float(frame.filter_norms()[0]))


@pytest.mark.parametrize("shape", [(40, 97), (64, 64), (9, 8), (101, 32)])
def test_gathered_synthesis_is_the_sum_by_torch(shape):
    frame = DecimatedShearletFrame(shape)
    c = noise(3, *frame.codomain_shape)
    assert torch.allclose(frame.adjoint(c), frame._summed(c), atol=1e-13)


def test_coefficients_may_begin_at_any_place_in_memory():
    frame, x = DecimatedShearletFrame((32, 30)), noise(32, 30)
    shifted = torch.cat((torch.zeros(1, dtype=x.dtype), frame(x)))[1:]
    assert shifted.storage_offset() == 1
    assert torch.allclose(frame.adjoint(shifted), x, atol=1e-13)
