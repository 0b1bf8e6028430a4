"""Magnetic resonance: Cartesian and non-Cartesian sampling against direct sums, bounds, density compensation."""

import math

import numpy as np
import pytest
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.operators import (
    CoilSensitivities,
    FourierSampling,
    HermitianToeplitz,
    NonUniformFourier,
    birdcage_maps,
    cartesian_mask,
    density_compensation,
    norm_estimate,
    radial_trajectory,
    spiral_trajectory,
)
from microlocal.operators.spaces import draw
from microlocal.testing import check

RANDOM = 2 * math.pi * (torch.rand(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) - 0.5)


def direct(frequencies, image):
    """The sums of the definition, one by one."""
    rows, cols = (np.arange(n) - n // 2 for n in image.shape)
    phases = frequencies[:, 0, None, None] * rows[:, None] + frequencies[:, 1, None, None] * cols
    return (np.exp(-1j * phases) * image).sum(axis=(1, 2)) / math.sqrt(image.size)


@pytest.mark.parametrize("shape", [(6, 6), (5, 8), (7, 3)])
def test_non_uniform_sums_are_those_of_the_definition(shape):
    operator = NonUniformFourier(RANDOM, shape)
    image = draw(operator, torch.Generator().manual_seed(1))
    assert operator(image).numpy() == pytest.approx(direct(RANDOM.numpy(), image.numpy()), rel=1e-9, abs=1e-10)
    single = operator(image.to(torch.complex64)).numpy()
    assert np.abs(single - direct(RANDOM.numpy(), image.numpy())).max() < 1e-4


@pytest.mark.parametrize("shape", [(4, 6), (5, 4)])
def test_cartesian_sampling_is_the_same_transform_on_the_grid(shape):
    rows, cols = (2 * math.pi * (torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape)
    cartesian = FourierSampling(torch.ones(shape))
    image = draw(cartesian, torch.Generator().manual_seed(1))
    sums = NonUniformFourier(torch.cartesian_prod(rows, cols), shape)(image)
    assert sums.reshape(shape).numpy() == pytest.approx(cartesian(image).numpy(), abs=1e-9)
    assert cartesian(image).flatten().numpy() == pytest.approx(
        direct(torch.cartesian_prod(rows, cols).numpy(), image.numpy()), abs=1e-12
    )


def test_the_tolerance_is_met_and_the_adjoint_stays_exact():
    exact = direct(RANDOM.numpy(), np.ones((8, 8)))
    coarse = NonUniformFourier(RANDOM, (8, 8), tolerance=1e-3)
    found = coarse(torch.ones(8, 8, dtype=torch.complex128)).numpy()
    assert 1e-9 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 1e-2
    check("operator", coarse)


@pytest.mark.parametrize(
    ("trajectory", "factor"),
    [
        (radial_trajectory(40, 48), 1.02),
        (radial_trajectory(24, 48, golden_angle=True), 1.06),
        (spiral_trajectory(4, 300), 1.35),
        (RANDOM, 1.9),
    ],
    ids=["radial", "golden", "spiral", "random"],
)
def test_norm_bound_is_close(trajectory, factor):
    operator = NonUniformFourier(trajectory, (24, 20))
    reached = norm_estimate(operator, 100)
    assert reached <= operator.norm_bound() <= factor * reached


def test_trajectories_stay_in_the_band_and_radial_lines_meet_in_the_middle():
    radial = radial_trajectory(5, 8).reshape(5, 8, 2)
    assert float(radial[:, 4].abs().max()) == 0.0
    assert float(radial.norm(dim=-1).max()) == pytest.approx(math.pi)
    assert radial[1, 7, 0] < 0 < radial[1, 7, 1]  # the second spoke points up and to the right
    spiral = spiral_trajectory(3, 200).reshape(3, 200, 2)
    steps = (spiral[:, 101:] - spiral[:, 100:-1]).norm(dim=-1)
    assert float(steps.max() / steps.min()) < 1.5


def test_density_compensation_makes_the_adjoint_an_approximate_inverse():
    shape = (24, 24)
    operator = NonUniformFourier(radial_trajectory(60, 48), shape)
    weights = density_compensation(operator)
    assert float(weights.min()) > 0
    rows, cols = torch.meshgrid(torch.arange(24.0) - 12, torch.arange(24.0) - 12, indexing="ij")
    image = torch.exp(-(rows**2 + (cols - 2) ** 2) / 18).to(torch.complex128)
    weighted = operator.adjoint(weights * operator(image))
    plain = operator.adjoint(operator(image))
    assert float((weighted - image).norm() / image.norm()) < 0.03
    assert float((plain - image).norm() / image.norm()) > 1.0


def test_sense_recovers_an_image_from_half_of_the_frequencies():
    shape = (16, 16)
    maps = birdcage_maps(6, shape)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, ::2] = True
    sense = FourierSampling(mask) @ CoilSensitivities(maps)
    image = draw(sense, torch.Generator().manual_seed(4))
    size = image.numel()
    basis = torch.eye(size, dtype=torch.complex128).reshape(size, *shape)
    matrix = sense(basis).reshape(size, -1).mT
    found = torch.linalg.lstsq(matrix, sense(image).flatten()[:, None]).solution
    assert float((found.reshape(shape) - image).norm() / image.norm()) < 1e-10
    check("operator", NonUniformFourier(RANDOM[:20], (4, 4)) @ CoilSensitivities(birdcage_maps(2, (4, 4))))


def test_normal_operators_are_convolutions_with_the_point_spread_function():
    operator = NonUniformFourier(RANDOM, (6, 5))
    sense = operator @ CoilSensitivities(birdcage_maps(3, (6, 5)))
    for a in (operator, sense):
        x = draw(a, torch.Generator().manual_seed(5))
        assert a.normal()(x).numpy() == pytest.approx(a.adjoint(a(x)).numpy(), abs=1e-9)
        assert norm_estimate(a, 200) ** 2 <= a.normal().norm_bound()
    assert isinstance(operator.normal(), HermitianToeplitz)
    with pytest.raises(InputError, match="conj q"):
        HermitianToeplitz(torch.tensor([[1.0 + 1j, 2.0, 1.0 + 1j]]))
    with pytest.raises(InputError, match="conj q"):
        HermitianToeplitz(torch.full((3, 3), complex(math.nan)))


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5), (5,)])
def test_maps_and_masks_of_other_axes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"maps \(coil, row, col\), got"):
        CoilSensitivities(torch.ones(shape, dtype=torch.complex64))
    if len(shape) == 1:
        with pytest.raises(ShapeError, match=r"a mask \(row, col\), got \(5,\)"):
            FourierSampling(torch.ones(shape))


def test_weights_and_maps_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="FourierSampling: expected finite values"):
        FourierSampling(torch.full((3, 4), math.inf))
    with pytest.raises(InputError, match="CoilSensitivities: expected finite values"):
        CoilSensitivities(torch.full((2, 3, 4), complex(math.nan)))


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (7, 9), (1, 1), (2, 1)])
@pytest.mark.parametrize("radius", [0.25, 0.5, 1.0, 1.5])
def test_coils_may_stand_on_a_pixel(shape, radius):
    maps = birdcage_maps(4, shape, radius)
    torch.testing.assert_close(maps.abs().square().sum(dim=0), torch.ones(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    "made",
    [
        lambda: cartesian_mask((4, 8), 0.0),
        lambda: cartesian_mask((4, 8), -2.0),
        lambda: cartesian_mask((4, 8), 2.0, math.nan),
        lambda: cartesian_mask((4,), 2.0),
        lambda: birdcage_maps(0, (4, 8)),
        lambda: birdcage_maps(4, (4, 8), radius=0.0),
        lambda: birdcage_maps(4, (4, 8, 2)),
        lambda: radial_trajectory(3, math.inf),
        lambda: spiral_trajectory(3, 4, turns=math.nan),
        lambda: NonUniformFourier(torch.zeros(3, 2), (4, 8, 2)),
        lambda: density_compensation(FourierSampling(torch.ones(3, 4))),
    ],
)
def test_what_no_scanner_does_is_refused(made):
    with pytest.raises(InputError, match=r"expected .*, got .*\. \w+"):
        made()


def test_masks_keep_the_middle_and_the_acceleration():
    mask = cartesian_mask((8, 64), 4.0, center_fraction=0.125, seed=3)
    columns = mask[0]
    assert bool((mask == columns).all())
    assert int(columns.sum()) == 16
    assert bool(columns[28:36].all())
    assert not mask.equal(cartesian_mask((8, 64), 4.0, center_fraction=0.125, seed=4))


def test_trajectories_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"expected \(sample, 2\), got \(2, 60\)"):
        NonUniformFourier(RANDOM.mT, (4, 4))
    with pytest.raises(InputError, match="1 NaN or infinite"):
        NonUniformFourier(torch.tensor([[0.0, math.nan]]), (4, 4))
