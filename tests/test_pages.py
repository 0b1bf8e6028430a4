"""The pages that list members name all of them, and what they say in numbers is what the code does."""

import re
from pathlib import Path

import pytest
import torch

import microlocal as ml
import microlocal.frames
import microlocal.operators
from microlocal.core.registry import registered
from microlocal.members import load_all

DOCS = Path(__file__).resolve().parents[1] / "docs"
load_all()


def _page(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def _rows(name):
    """The first cells of the tables of a page."""
    return [line.split("|")[1] for line in _page(name).splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("kind", ["operator", "frame"])
def test_every_registered_member_has_a_row(kind):
    listed = set(re.findall(r"`(\w+)`", " ".join(_rows(f"{kind}s"))))
    missing = {entry.member.__name__ for entry in registered(kind).values()} - listed
    assert missing == set()


@pytest.mark.parametrize("kind", ["operator", "frame"])
def test_what_has_a_row_is_there(kind):
    room = {"operator": microlocal.operators, "frame": microlocal.frames}[kind]
    inner = {"Sum", "Multiple", "Composition", "Adjoint", "PhysicsOperator"}  # made by formulas, or by a function
    for cell in _rows(f"{kind}s"):
        for name, mark in re.findall(r"`([A-Z]\w+)`(°?)", cell):
            if mark:
                assert name not in ml._ROOM_OF
                assert hasattr(room, name) or hasattr(microlocal.frames, name), name
            elif name not in inner:
                assert name in ml._ROOM_OF, f"{name} is no public name: mark it with a °"


def test_every_geometry_and_public_helper_is_on_its_page():
    volumes, operators = _page("volumes"), _page("operators")
    for name in ("ConeBeam", "ParallelBeam3D", "ViewVectors", "FlatPanel", "VolumeGrid", "fdk", "fbp_volume"):
        assert f"{name}" in volumes
    helpers = [
        name for name in dir(microlocal.operators) if name.endswith(("_kernel", "_maps", "_mask", "_trajectory"))
    ]
    assert len(helpers) == 8
    for name in (*helpers, "density_compensation", "circular_detectors", "line_detectors", "block_diagonal"):
        assert f"`{name}`" in operators


FRAMES = [
    ("ShearletFrame", 49, 49.0),
    ("DecimatedShearletFrame", 49, 4.0),
    ("CompactShearletFrame", 49, 49.0),
    ("WaveletFrame", 19, 1.0),
    ("UndecimatedWaveletFrame", 19, 19.0),
]


@pytest.mark.parametrize(("name", "filters", "redundancy"), FRAMES)
def test_counts_on_the_page_of_frames(name, filters, redundancy):
    frame = getattr(ml, name)((512, 512))
    assert len(frame.filters) == filters
    assert torch.Size(frame.codomain_shape).numel() / 512**2 == pytest.approx(redundancy, abs=0.06)
    row = next(line for line in _page("frames").splitlines() if line.startswith(f"| `{name}`"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert float(cells[2]) == redundancy
    if name != "WaveletFrame":
        assert re.match(r"\d+", cells[1]).group() == str(filters)


def test_bounds_on_the_page_of_frames():
    lower, upper = ml.CompactShearletFrame((512, 512)).bounds()
    assert f"{lower:.3f}, {upper:.0f}" in _page("frames")
    assert f"(B/A)^½ = {(upper / lower) ** 0.5:.1f}" in _page("frames")


def test_every_image_method_has_a_row_and_the_pictures_are_there():
    page, listed = _page("image-methods"), set(re.findall(r"`(\w+)`", " ".join(_rows("image-methods"))))
    methods = {entry.member.__name__ for entry in registered("image-method").values()}
    of_any_operator = registered("observation-method")
    assert methods | {"learn_atoms"} == listed - set(of_any_operator)
    assert listed - set(of_any_operator) <= set(ml._ROOM_OF)
    assert all(any(f"`{name}`" in row for row in _rows("image-methods")) for name in of_any_operator)
    pictures = re.findall(r"\]\((images/[^)]+)\)", page)
    assert len(pictures) == 3
    assert all((DOCS / picture).is_file() for picture in pictures)
