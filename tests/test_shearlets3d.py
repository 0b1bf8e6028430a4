"""Shearlets of volumes beyond their laws: counts, directions, filter-by-filter work, coefficients in a file."""

import errno
import math
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from microlocal.core.errors import InputError, OutputError
from microlocal.core.seeding import generator
from microlocal.frames import ShearletFrame, ShearletFrame3D, storage
from microlocal.frames.shearlet3d import cube_directions
from microlocal.frames.spectra import folded_response


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(6))


@pytest.mark.parametrize("shears", [1, 2, 3, 4])
def test_directions_are_the_lattice_points_of_half_a_cube(shears):
    directions = cube_directions(shears)
    assert len(directions) == len(set(directions)) == 12 * shears**2 + 1
    assert not set(directions) & {tuple(-c for c in n) for n in directions}


def test_counts_of_the_systems():
    assert len(ShearletFrame3D((32, 32, 32), shears=(2, 2)).filters) == 99  # ShearLab 3D's system of two scales
    assert len(ShearletFrame3D((128, 128, 128)).filters) == 112
    assert len(ShearletFrame3D((16, 16, 16)).filters) == 14


@pytest.mark.parametrize(("shape", "shears"), [((16, 16, 16), (1, 2)), ((9, 14, 11), (2,)), ((7, 8, 20), (1, 1))])
def test_reconstruction_is_exact(shape, shears):
    frame, x = ShearletFrame3D(shape, shears=shears), noise(*shape)
    assert float((frame.adjoint(frame(x)) - x).norm() / x.norm()) <= 1e-12
    lower, upper = frame.bounds()
    assert max(1 - lower, upper - 1) <= 1e-12


def test_a_plane_lives_in_the_filter_of_its_normal():
    n, frame = 32, ShearletFrame3D((32, 32, 32), shears=(2,))
    z, r, c = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) - (n - 1) / 2,) * 3, indexing="ij")
    window = torch.exp(-(z**2 + r**2 + c**2) / (2 * 5.0**2))
    for wanted in ((1.0, 0.5, 0.0), (0.0, 1.0, -0.5), (0.5, 0.5, 1.0), (1.0, 1.0, 1.0)):
        distance = (wanted[0] * c - wanted[1] * r + wanted[2] * z) / math.hypot(*wanted)
        bands = frame.bands(frame(torch.tanh(3 * distance) * window))
        best = max(range(1, len(bands)), key=lambda k: float(bands[k].square().sum()))
        cosine = abs(sum(a * b for a, b in zip(frame.filters[best].normal, wanted, strict=True))) / math.hypot(*wanted)
        assert cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    "frame", [ShearletFrame3D((12, 10, 9), shears=(1, 2)), ShearletFrame((16, 18)), ShearletFrame((9, 8))]
)
def test_boxes_hold_the_whole_response(frame):
    """On the whole half spectrum as one box, the same formula gives the same numbers: no box is too small."""
    *leading, last = frame.domain_shape
    whole = [*((-(n // 2), (n - 1) // 2) for n in leading), (0, last // 2)]
    places = np.ix_(*(np.arange(a, b + 1) % n for (a, b), n in zip(whole, frame.domain_shape, strict=True)))
    for element, response in zip(frame.elements, frame._filters(noise(1)), strict=True):
        dense = np.zeros([b - a + 1 for a, b in whole])
        for place, values in response.blocks:
            dense[place] = values.numpy()
        expected = np.sqrt(folded_response(element, frame.domain_shape, whole))
        assert np.allclose(dense[places], expected, rtol=0, atol=1e-12)


def test_map_filters_is_synthesis_after_change():
    frame, x = ShearletFrame3D((12, 13, 14)), noise(2, 12, 13, 14)
    thresholds = 0.5 * frame.filter_norms()
    want = frame(x)
    want = frame.adjoint(want * (want.abs() > frame.spread(thresholds)))
    got = frame.map_filters(x, lambda band, k: band * (band.abs() > thresholds[k]))
    assert torch.allclose(got, want, atol=1e-12)


def test_map_filters_refuses_a_gradient():
    with pytest.raises(InputError, match="requires_grad"):
        ShearletFrame((8, 8)).map_filters(noise(8, 8).requires_grad_(), lambda band, k: band)


def test_an_error_in_a_lane_reaches_the_caller():
    def change(band: torch.Tensor, k: int) -> torch.Tensor:
        if k == 3:
            raise FloatingPointError("filter 3")
        return band

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(FloatingPointError, match="filter 3"):
            ShearletFrame((256, 256)).map_filters(noise(256, 256), change)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_coefficients_larger_than_the_memory_go_to_a_file(monkeypatch, tmp_path):
    frame, x = ShearletFrame3D((12, 12, 12)), noise(12, 12, 12)
    want = frame(x)
    monkeypatch.setattr(storage, "available_bytes", lambda: 1000)
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.warns(UserWarning, match="temporary file") as said:
        got = frame(x)
    assert "map_filters" in str(said[0].message)
    assert torch.equal(got, want)
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_coefficients_are_written_where_the_user_says(tmp_path):
    frame, x = ShearletFrame((20, 21)), noise(20, 21)
    size = int(torch.tensor(frame.codomain_shape).prod())
    out = torch.from_file(str(tmp_path / "c.bin"), shared=True, size=size, dtype=x.dtype).view(frame.codomain_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame.analysis_into(x, out)
    assert np.array_equal(np.fromfile(tmp_path / "c.bin").reshape(frame.codomain_shape), frame(x).numpy())


def test_threads_do_not_change_a_bit():
    frame, x = ShearletFrame3D((40, 41, 42)), noise(40, 41, 42).float()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = frame(x), frame.adjoint(frame(x))
        torch.set_num_threads(1)
        one = frame(x), frame.adjoint(frame(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(two[0], one[0])
    assert torch.equal(two[1], one[1])


def test_the_warning_of_a_temporary_file_is_seen_by_users():
    code = (
        "import torch; from microlocal.frames import ShearletFrame3D, storage; storage.available_bytes = lambda: 1000;"
        "ShearletFrame3D((8, 8, 8))(torch.rand(8, 8, 8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "they lie in a temporary file" in done.stderr


def test_a_disk_without_space_is_told_before_coefficients_are_written(monkeypatch):
    def full(file, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "available_bytes", lambda: 1000)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        pytest.warns(UserWarning, match="temporary"),
        pytest.raises(OutputError, match=r"space, got No space left.*TMPDIR"),
    ):
        ShearletFrame3D((8, 8, 8))(torch.rand(8, 8, 8))


@pytest.mark.parametrize(
    ("limit", "used"), [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")]
)
def test_the_memory_of_a_container_is_what_its_group_has_left(tmp_path, monkeypatch, limit, used):
    for folder, most in (("none", None), ("all", "max"), ("part", "5000")):
        (tmp_path / folder).mkdir()
        if most:
            (tmp_path / folder / limit).write_text(most + "\n")
            (tmp_path / folder / used).write_text("3000\n")
            (tmp_path / folder / "memory.stat").write_text("anon 2000\ninactive_file 500\n")
        monkeypatch.setattr(storage, "_GROUPS", tmp_path / folder)
        assert (storage.available_bytes() == 2500) == (folder == "part")
