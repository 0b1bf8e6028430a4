"""The text forms of the command line, and the scan and grid that they choose."""

import pytest
import torch
import typer

from microlocal.cli.choices import (
    Arc,
    Shape,
    Slices,
    parse_arc,
    parse_center,
    parse_grid,
    parse_pixel,
    parse_slices,
    parse_weight,
)
from microlocal.cli.prepare import chosen_grid
from microlocal.core import Detector, Grid, ParallelBeam, Scan


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_slices, "60", Slices(60, None)),
        (parse_slices, "3:7", Slices(3, 7)),
        (parse_arc, "0:90", Arc(0.0, 90.0)),
        (parse_arc, "-30.5:30", Arc(-30.5, 30.0)),
        (parse_center, "auto", "auto"),
        (parse_center, "file", "file"),
        (parse_center, "-2.5", -2.5),
        (parse_weight, "auto", "auto"),
        (parse_weight, "1e-3", 1e-3),
        (parse_pixel, "0.15", 0.15),
        (parse_grid, "64", Shape(64, 64)),
        (parse_grid, "64x96", Shape(64, 96)),
        (parse_grid, "64X96", Shape(64, 96)),
    ],
)
def test_what_is_well_formed_is_read(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (parse_slices, "", "K or A:B"),
        (parse_slices, "1.5", "whole"),
        (parse_slices, "a:b", "'a'"),
        (parse_slices, "3:", "K or A:B"),
        (parse_slices, "nan", "K or A:B"),
        (parse_arc, "90", "A:B in degrees"),
        (parse_arc, "90:0", "Write 0:90"),
        (parse_arc, "0:inf", "A:B in degrees"),
        (parse_center, "middle", "auto, file"),
        (parse_weight, "0", "positive"),
        (parse_weight, "-1", "positive"),
        (parse_weight, "nan", "positive"),
        (parse_pixel, "0", "above 0"),
        (parse_pixel, "-1", "above 0"),
        (parse_pixel, "nan", "above 0"),
        (parse_grid, "0", "above 0"),
        (parse_grid, "12x", "above 0"),
        (parse_grid, "12.5", "whole"),
    ],
)
def test_what_is_malformed_is_refused_with_the_form(parse, text, told):
    with pytest.raises(typer.BadParameter, match=told):
        parse(text)


@pytest.fixture
def scan():
    geometry = ParallelBeam((0.0, 0.1), Detector(40, 0.5))
    return Scan(torch.zeros(2, 40), geometry, Grid((30, 40), 0.5, center=(1.0, 2.0)))


def test_no_choice_keeps_the_grid_of_the_scan(scan):
    assert chosen_grid(scan, None, None) == scan.grid


def test_pixels_alone_keep_the_field_of_view(scan):
    assert chosen_grid(scan, Shape(60, 80), None) == Grid((60, 80), 0.25, center=(1.0, 2.0))


def test_the_side_of_a_pixel_alone_keeps_the_field_of_view(scan):
    assert chosen_grid(scan, None, 1.0) == Grid((15, 20), 1.0, center=(1.0, 2.0))


def test_a_shape_of_another_proportion_covers_the_field_of_view(scan):
    grid = chosen_grid(scan, Shape(40, 40), None)
    assert grid.pixel * 40 >= 20
    assert grid.shape == (40, 40)


def test_both_are_taken_as_given(scan):
    assert chosen_grid(scan, Shape(8, 9), 2.0) == Grid((8, 9), 2.0, center=(1.0, 2.0))
