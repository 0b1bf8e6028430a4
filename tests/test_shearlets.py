"""The shearlet system beyond its laws: sizes, directions, edges, known values."""

import math
from inspect import signature

import pytest
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import registered
from microlocal.core.seeding import generator
from microlocal.frames import (
    AtomFrame,
    CompactShearletFrame,
    DecimatedShearletFrame,
    DyadicShearletFrame,
    ShearletFrame,
    ShearletFrame3D,
)
from microlocal.frames.shearlet import definition_shears


@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (40, 97), (101, 32), (8, 8), (5, 7)])
def test_perfect_reconstruction_at_every_size(shape):
    frame = ShearletFrame(shape)
    x = torch.randn(shape, dtype=torch.float64, generator=generator(0))
    assert float((frame.adjoint(frame(x)) - x).norm() / x.norm()) <= 1e-12
    lower, upper = frame.bounds()
    assert max(1 - lower, upper - 1) <= 1e-12


@pytest.mark.parametrize("kind", [ShearletFrame, DecimatedShearletFrame])
@pytest.mark.parametrize(("shape", "scales"), [((1, 1), None), ((1, 9), None), ((3, 1), None), ((16, 12), 9)])
def test_filters_between_the_frequencies_of_a_small_image_are_zero(kind, shape, scales):
    frame = kind(shape, scales)
    x = torch.randn(2, *shape, dtype=torch.float64, generator=generator(0))
    assert float((frame.inverse(frame(x)) - x).norm() / x.norm()) <= 1e-12
    silent = [k for k, norm in enumerate(frame.filter_norms().tolist()) if norm == 0]
    assert silent
    bands = frame.bands(frame(x))
    assert not any(bool(bands[k].any()) for k in silent)


def test_shears_are_those_of_definition_3_4():
    assert definition_shears(6) == (1, 2, 2, 3, 4, 6)
    assert len(ShearletFrame((512, 512)).filters) == 49


def test_a_straight_edge_lives_in_the_filters_of_its_normal():
    n, angle = 128, math.radians(30)
    r, c = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    x, y = c - 63.5, 63.5 - r
    window = torch.exp(-(x**2 + y**2) / (2 * 20.0**2))
    edge = (torch.sigmoid(x * math.cos(angle) + y * math.sin(angle)) * window).double()
    frame = ShearletFrame((n, n))
    energy = frame(edge).square().sum(dim=(1, 2))
    finest = max(f.scale for f in frame.filters)
    numbers = [k for k, f in enumerate(frame.filters) if f.scale == finest]
    best = frame.filters[max(numbers, key=lambda k: float(energy[k]))]
    assert abs(best.direction_rad - angle) <= best.half_width_rad


def test_filter_norms_are_the_noise_they_pass():
    frame = ShearletFrame((64, 96))
    noise = torch.randn(40, 64, 96, dtype=torch.float64, generator=generator(3))
    measured = frame(noise).square().mean(dim=(0, 2, 3)).sqrt()
    assert torch.allclose(measured, frame.filter_norms(), rtol=0.1)


def test_backward_keeps_no_intermediate():
    frame = ShearletFrame((32, 32))
    x = torch.randn(32, 32, dtype=torch.float64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        frame(x)
    assert kept == []


def test_fewer_than_one_scale_is_refused():
    with pytest.raises(InputError, match="scales >= 1"):
        ShearletFrame((32, 32), scales=0)


@pytest.mark.parametrize(
    ("frame", "shape", "name"),
    [
        (ShearletFrame, (32, 32), "shears"),
        (DecimatedShearletFrame, (32, 32), "shears"),
        (ShearletFrame3D, (8, 8, 8), "shears"),
        (CompactShearletFrame, (32, 32), "shear_levels"),
    ],
)
def test_scales_that_the_shears_contradict_are_not_passed_over(frame, shape, name):
    with pytest.raises(InputError, match=rf"{frame.__name__}: expected {name} for 2 scales, got {name} = \(1,\)"):
        frame(shape, scales=2, **{name: (1,)})
    one = frame(shape, scales=1, **{name: (1,)})
    assert one.filters == frame(shape, **{name: (1,)}).filters


@pytest.mark.parametrize("entry", registered("frame").values(), ids=lambda entry: entry.name)
def test_every_frame_refuses_shapes_and_scales_that_are_none(entry):
    frame = entry.member
    more = (torch.ones(1, 2, 2),) if frame is AtomFrame else ()
    good = (16,) * len(frame.domain_axes.split(","))
    for shape in ((0, *good[1:]), (16.0, *good[1:]), (16,) * 4, ()):
        with pytest.raises(ShapeError, match="whole numbers above zero"):
            frame(shape, *more)
    for name in {"scales", "levels"} & set(signature(frame).parameters):
        with pytest.raises(InputError, match=f"whole number {name}, got {name} = 1.5"):
            frame(good, **{name: 1.5})


@pytest.mark.parametrize("entry", registered("frame").values(), ids=lambda entry: entry.name)
def test_coefficients_and_weights_of_another_frame_are_refused(entry):
    frame = entry.samples()[0]
    count, name = len(frame.filters), type(frame).__name__
    for weights in (torch.ones(count + 1), torch.ones(1), torch.ones(count, 1), torch.ones(())):
        with pytest.raises(ShapeError, match=rf"{name}.spread: expected \({count},\)"):
            frame.spread(weights)
    with pytest.raises(InputError, match="a torch tensor"):
        frame.spread([1.0] * count)
    for cut in (slice(1, None), slice(0, 0)):
        with pytest.raises(ShapeError, match=rf"{name}.(bands|levels): expected"):
            frame.bands(torch.zeros(frame.codomain_shape)[..., cut])


@pytest.mark.parametrize("frame", [ShearletFrame((12, 10)), ShearletFrame3D((8, 8, 9), shears=(1,))])
def test_targets_and_functions_that_cannot_be_are_refused(frame):
    x, out = torch.rand(2, *frame.domain_shape), torch.empty(2, *frame.codomain_shape)
    assert torch.equal(frame.analysis_into(x, out), frame(x))
    for wrong, message in ((out[0], "a target of shape"), (out.double(), "contiguous target of torch.float32")):
        with pytest.raises(InputError, match=message):
            frame.analysis_into(x, wrong)
    with pytest.raises(InputError, match="contiguous target"):
        frame.analysis_into(x, out.mT.contiguous().mT)
    with pytest.raises(ShapeError, match="analysis_into"):
        frame.analysis_into(x[..., 1:], out)
    with pytest.raises(ShapeError, match="map_filters"):
        frame.map_filters(x[..., 1:], lambda band, k: band)
    with pytest.raises(InputError, match="map_filters: expected a function, got float"):
        frame.map_filters(x, 0.5)
    with pytest.raises(InputError, match="torch tensor"):
        frame.map_filters(x.numpy(), lambda band, k: band)


@pytest.mark.parametrize("kind", [ShearletFrame, DecimatedShearletFrame, DyadicShearletFrame, ShearletFrame3D])
def test_a_number_is_no_shape(kind):
    with pytest.raises(ShapeError, match=f"{kind.__name__}: expected a shape of whole numbers"):
        kind(32)
