"""The share of a filter's directions that is measured, and what it says of coefficients and pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, Geometry, Grid, InputError, ParallelBeam, ShapeError
from microlocal.core.provenance import Provenance
from microlocal.frames import FilterIndex, ShearletFrame
from microlocal.kernels.overlaps import overlaps
from microlocal.wavefront import (
    energy_split,
    is_measured,
    measured_fraction,
    pixel_provenance,
    visible_mask,
    visible_share,
)
from microlocal.wavefront.energies import image_energies
from microlocal.wavefront.provenance import energy_provenance, local_energies

SHAPE = (33, 40)
GRID = Grid(SHAPE, 1.0)
FRAME = ShearletFrame(SHAPE, scales=2)
WIDE = Detector(101, 1.0)


def views(first: float, last: float) -> tuple[float, ...]:
    return tuple(np.radians(np.arange(first + 0.5, last)))


WEDGE = ParallelBeam(views(0, 90), WIDE)
FAN = FanBeam(views(0, 120), Detector(80, 1.0, offset=3.0), source_axis=90.0, source_detector=140.0)


@pytest.mark.parametrize("geometry", [WEDGE, FAN, replace(WEDGE, detector=Detector(20, 1.0))])
def test_shares_are_the_sampled_fraction_of_each_filters_directions(geometry: Geometry) -> None:
    grid = Grid((4, 5), 8.0, center=(1.0, 2.0))
    share = visible_share(FRAME.filters, geometry, grid).expand(-1, 4, 5)
    x, y = grid.coordinates()
    for index, found in zip(FRAME.filters, share, strict=True):
        spread = (np.arange(500) + 0.5) / 250 - 1
        phi = index.direction_rad + index.half_width_rad * spread
        sampled = is_measured(geometry, x, y[:, None], phi[:, None, None]).mean(axis=0)
        np.testing.assert_allclose(found.numpy(), sampled, atol=4 / 500)


def test_low_pass_share_is_the_measured_fraction() -> None:
    for geometry in (WEDGE, FAN):
        share = visible_share(FRAME.filters, geometry, GRID)
        low = [k for k, index in enumerate(FRAME.filters) if index.scale < 0]
        assert len(low) == 1
        torch.testing.assert_close(share[low[0]].expand(SHAPE), measured_fraction(geometry, GRID), atol=1e-6, rtol=0)


def test_shares_of_a_scale_add_up_to_the_measured_fraction() -> None:
    # The half-power ranges of the shearlets of one scale tile the half circle.
    fraction = measured_fraction(FAN, GRID)
    share = visible_share(FRAME.filters, FAN, GRID)
    for scale in (0, 1):
        chosen = [k for k, index in enumerate(FRAME.filters) if index.scale == scale]
        total = sum(share[k] * FRAME.filters[k].half_width_rad * 2 / math.pi for k in chosen)
        torch.testing.assert_close(total, fraction, atol=2e-6, rtol=0)


def test_parallel_beam_shares_are_compact_unless_the_detector_cuts_the_image() -> None:
    count = len(FRAME.filters)
    assert visible_share(FRAME.filters, WEDGE, GRID).shape == (count, 1, 1)
    cut = replace(WEDGE, detector=Detector(30, 1.0))
    assert visible_share(FRAME.filters, cut, GRID).shape == (count, *SHAPE)
    assert visible_share(FRAME.filters, FAN, GRID).shape == (count, *SHAPE)
    turn = FanBeam(views(0, 360), WIDE, source_axis=90.0, source_detector=140.0)
    assert visible_share(FRAME.filters, turn, GRID).flatten().tolist() == [1.0] * count


def test_wedge_splits_the_filters_by_direction() -> None:
    share = visible_share(FRAME.filters, WEDGE, GRID).flatten()
    for index, part in zip(FRAME.filters, share.tolist(), strict=True):
        low, high = index.direction_rad - index.half_width_rad, index.direction_rad + index.half_width_rad
        if index.scale >= 0 and low >= 0 and high <= math.pi / 2:
            assert part == pytest.approx(1.0, abs=1e-6)
        if index.scale >= 0 and low >= math.pi / 2 and high <= math.pi:
            assert part == pytest.approx(0.0, abs=1e-6)
    # Directions 0 and π/2 are the ends of the arc: half of those filters' ranges is measured.
    ends = [p for i, p in zip(FRAME.filters, share.tolist(), strict=True) if i.scale >= 0 and i.shear == 0]
    assert ends == pytest.approx([0.5] * 4, abs=1e-6)


def test_energies_add_up_and_follow_the_direction_of_the_edges() -> None:
    rows, cols = np.indices(SHAPE)
    y, x = (SHAPE[0] - 1) / 2 - rows, cols - (SHAPE[1] - 1) / 2
    seen, unseen = (
        torch.from_numpy(np.sin(1.2 * (x * math.cos(a) + y * math.sin(a))) * np.exp(-(x**2 + y**2) / 50))
        for a in np.radians([45.0, 135.0])
    )
    batch = torch.stack([seen, unseen])
    coefficients = FRAME(batch)
    share = visible_share(FRAME.filters, WEDGE, GRID)
    measured, undetermined = energy_split(coefficients, share)
    torch.testing.assert_close(measured + undetermined, batch.square().sum(dim=(-2, -1)), rtol=1e-6, atol=0)
    assert measured[0] > 0.95 * (measured + undetermined)[0]
    assert measured[1] < 0.05 * (measured + undetermined)[1]
    codes = pixel_provenance(coefficients, share, FRAME.filters)
    assert codes.shape == batch.shape
    assert codes.dtype == torch.uint8
    middle = (slice(8, 25), slice(12, 28))
    assert (codes[0][middle] == Provenance.MEASURED).all()
    assert (codes[1][middle] == Provenance.UNDETERMINED).all()


def test_pixels_outside_the_field_of_view_are_undetermined() -> None:
    narrow = ParallelBeam(views(0, 180), Detector(21, 1.0))
    image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3))
    share = visible_share(FRAME.filters, narrow, GRID)
    codes = pixel_provenance(FRAME(image), share, FRAME.filters)
    x, y = GRID.coordinates()
    radius = torch.from_numpy(np.hypot(x, y[:, None]))
    assert (codes[radius < 10] == Provenance.MEASURED).all()
    dark = ParallelBeam(views(80, 100), Detector(21, 1.0))
    codes = pixel_provenance(FRAME(image), visible_share(FRAME.filters, dark, GRID), FRAME.filters)
    assert (codes[:2] == Provenance.UNDETERMINED).all()


def test_grey_level_is_no_structure() -> None:
    # Adding a constant must not change the map: the low-pass counts by its variation only.
    image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    share = visible_share(FRAME.filters, WEDGE, GRID)
    plain = pixel_provenance(FRAME(image), share, FRAME.filters)
    assert torch.equal(plain, pixel_provenance(FRAME(image + 100.0), share, FRAME.filters))
    assert {int(c) for c in plain.unique()} == {Provenance.MEASURED, Provenance.UNDETERMINED}


@pytest.mark.parametrize(("last", "code"), [(120, Provenance.MEASURED), (60, Provenance.UNDETERMINED)])
def test_flat_images_go_by_the_share_of_directions(last: int, code: Provenance) -> None:
    share = visible_share(FRAME.filters, ParallelBeam(views(0, last), WIDE), GRID)
    assert (pixel_provenance(torch.zeros(len(FRAME.filters), *SHAPE), share, FRAME.filters) == code).all()


def test_mask_is_the_thresholded_share() -> None:
    share = torch.tensor([0.0, 0.49, 0.5, 1.0]).reshape(4, 1, 1)
    assert visible_mask(share).flatten().tolist() == [False, False, True, True]
    assert visible_mask(share, threshold=1.0).flatten().tolist() == [False, False, False, True]
    with pytest.raises(InputError, match="0 < threshold <= 1"):
        visible_mask(share, threshold=0.0)


def test_mismatched_input_is_refused() -> None:
    coefficients = torch.zeros(len(FRAME.filters), *SHAPE)
    share = visible_share(FRAME.filters, WEDGE, GRID)
    with pytest.raises(ShapeError, match=r"energy_split: .*filter, row, col"):
        energy_split(coefficients[1:], share)
    with pytest.raises(ShapeError, match="energy_split"):
        energy_split(coefficients, share.expand(-1, 5, 5))
    with pytest.raises(InputError, match="odd window"):
        pixel_provenance(coefficients, share, FRAME.filters, window=4)
    with pytest.raises(InputError, match="filters"):
        pixel_provenance(coefficients, share, FRAME.filters[1:])
    with pytest.raises(InputError, match="half_width_rad > 0"):
        visible_share((FilterIndex(0, "horizontal", 0, 0.0, 0.0, (0.1, 0.2)),), WEDGE, GRID)


@pytest.mark.parametrize("geometry", [WEDGE, FAN])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("window", [1, 7, 45])
def test_energies_without_coefficients_are_those_of_the_formulas(geometry, dtype, window) -> None:
    images = torch.rand(2, *SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(6))
    images[0, :, 20:] += 3.0
    share, coefficients = visible_share(FRAME.filters, geometry, GRID), FRAME(images)
    plain = (*local_energies(coefficients, share, FRAME.filters, window), *energy_split(coefficients, share))
    found = image_energies(images, FRAME, share, window)
    close = {"rtol": 1e-4, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 2e-7, "atol": 1e-12}
    names = ("measured", "undetermined", "measured_sum", "undetermined_sum")
    for name, expected in zip(names, plain, strict=True):
        torch.testing.assert_close(getattr(found, name).to(dtype), expected, **close)
    nothing = torch.zeros_like(found.measured)
    codes = energy_provenance(found.measured, found.undetermined, nothing, share)
    if window > 1:
        assert (codes == pixel_provenance(coefficients, share, FRAME.filters, window=window)).float().mean() > 0.999
    with pytest.raises(ShapeError, match="image_energies"):
        image_energies(images, FRAME, share[1:])


def test_filters_are_visited_one_by_one_in_lots() -> None:
    image, seen = torch.rand(SHAPE, dtype=torch.float64), {}
    FRAME.visit_filters(image, lambda band, k, lot: seen.__setitem__(k, (lot, band.clone())), lots=3)
    assert sorted(seen) == list(range(len(FRAME.filters)))
    for k, coefficients in enumerate(FRAME(image)):
        lot, band = seen[k]
        assert lot == k % 3
        assert torch.equal(band, coefficients)
    with pytest.raises(InputError, match="visit_filters: expected one image and a function"):
        FRAME.visit_filters(image[None], lambda band, k, lot: None)
    with pytest.raises(ShapeError, match="visit_filters"):
        FRAME.visit_filters(image[1:], lambda band, k, lot: None)


def test_overlaps_are_clipped_segments() -> None:
    draw = np.random.default_rng(2)
    breaks = np.sort(draw.uniform(0, np.pi, (6, 1500)), axis=0)
    breaks[0], breaks[-1], measured = 0.0, np.pi, draw.random((5, 1500)) < 0.5
    lows, highs = np.array([-0.4, 0.3, 2.8]), np.array([0.2, 0.9, 3.5])
    angles = np.concatenate([lows, highs]) % np.pi
    turns = np.floor(highs / np.pi) - np.floor(lows / np.pi)
    found = np.empty((3, 1500))
    ends = np.stack([np.arange(3), np.arange(3) + 3, turns.astype(int)], axis=1)
    overlaps(breaks, measured, angles, ends, highs - lows, found)
    for low, high, share in zip(lows, highs, found, strict=True):
        expected = sum(
            (np.clip(high, a, b) - np.clip(low, a, b)) * seen
            for turn in (-np.pi, 0.0, np.pi)
            for a, b, seen in zip(breaks[:-1] + turn, breaks[1:] + turn, measured, strict=True)
        )
        np.testing.assert_allclose(share, expected / (high - low), atol=1e-12)
