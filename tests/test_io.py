"""Readers: every format gives back the sinogram it was made from, with the geometry that its metadata say."""

import json
import math
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scan_files as files
import torch

from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import registered
from microlocal.core.scan import Scan, Source
from microlocal.io import Reader, open_stack, read_scan, write_scan
from microlocal.operators.ray_transform import RayTransform


def close(scan: Scan, expected: np.ndarray, tolerance: float = 1e-6) -> bool:
    return scan.data.shape == expected.shape and np.abs(scan.data.numpy() - expected).max() < tolerance


def same(geometry: Geometry, expected: Geometry) -> bool:
    """Equal up to the rounding of angles through degrees."""
    turned = np.abs(geometry.angles - expected.angles).max()
    return turned < 1e-12 and replace(geometry, angles_rad=expected.angles_rad) == expected


@pytest.mark.parametrize("make", [files.helsinki, files.helsinki73])
def test_helsinki(tmp_path: Path, make: object) -> None:
    scan = read_scan(make(tmp_path))
    assert close(scan, files.sinogram(files.FAN))
    assert scan.data.dtype == torch.float32
    assert isinstance(scan.geometry, FanBeam)
    assert same(scan.geometry, files.FAN)
    assert scan.grid == Grid((512, 512), 0.375)
    assert (scan.source.format, scan.source.metadata["scanner"]) == ("helsinki", "a test")
    assert scan.warnings == ()


def test_helsinki_prefers_the_full_scan_and_drops_the_closing_view(tmp_path: Path) -> None:
    full = np.linspace(0, 360, 12)
    path = files.helsinki(tmp_path, angles=full)
    scan = read_scan(path)
    assert scan.geometry.shape[0] == 11
    assert "360 degrees" in scan.warnings[0]
    assert close(scan, files.sinogram(files.FAN)[:-1])


def test_an_arc_through_360_degrees_stays_one_arc(tmp_path: Path) -> None:
    angles = np.mod(np.arange(12) * 5.0 + 330.0, 360.0)
    scan = read_scan(files.helsinki(tmp_path, "CtDataLimited", angles))
    assert len(scan.geometry.arcs()) == 1
    assert np.degrees(scan.geometry.angles) == pytest.approx(np.arange(12) * 5.0 + 330.0)
    assert close(scan, files.sinogram(files.FAN))


def test_mrc(tmp_path: Path) -> None:
    scan = read_scan(files.mrc(tmp_path))
    background = np.percentile(np.round(1000 * files.stack()), 5)
    assert close(scan, np.round(1000 * files.stack()) - background, 1e-3)
    assert same(scan.geometry, replace(files.PARALLEL, unit="nm"))
    assert any("vertical" in sentence for sentence in scan.warnings)
    assert any("background" in sentence for sentence in scan.warnings)


@pytest.mark.parametrize(("stamp", "flags", "signed"), [(1146047817, 0, False), (1146047817, 1, True), (0, 0, False)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_mrc_bytes_are_signed_only_where_the_header_says_so(
    tmp_path: Path, stamp: int, flags: int, signed: bool, order: str
) -> None:
    """IMOD's stamp and flag stand at bytes 152 and 156; without them the greatest value shows bytes without a sign."""
    path = files.mrc(tmp_path)
    images = np.round(60 * files.stack().transpose(1, 0, 2)).clip(0, 255).astype(np.uint8)
    assert images.max() > 127
    stored = images - np.uint8(128) if signed else images
    header = bytearray(1024)
    struct.pack_into(f"{order}10i", header, 0, *images.shape[::-1], 0, 0, 0, 0, *images.shape[::-1])
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}2f", header, 76, float(images.min()), float(images.max()))
    struct.pack_into(f"{order}2i", header, 152, stamp, flags)
    header[208:216] = b"MAP " + (b"DD\0\0" if order == "<" else b"\x11\x11\0\0")
    path.write_bytes(bytes(header) + stored.tobytes())
    expected = images.transpose(1, 0, 2) - np.percentile(images, 5)
    assert close(read_scan(path), expected, 1e-6)
    assert close(open_stack(path).block(range(files.SLICES)).scan, expected, 1e-6)


def test_mrc_with_another_tilt_axis_and_the_only_angle_file(tmp_path: Path) -> None:
    path = files.mrc(tmp_path)
    (tmp_path / "series.rawtlt").rename(tmp_path / "tilts.tlt")
    path.with_suffix(".json").write_text('{"tilt_axis": "x"}')
    scan = read_scan(path)
    assert scan.data.shape == (files.COUNT, 12, files.SLICES)
    assert any("tilts.tlt" in sentence for sentence in scan.warnings)
    assert not any("vertical" in sentence for sentence in scan.warnings)


def test_mrc_says_when_the_data_contradict_the_tilt_axis(tmp_path: Path) -> None:
    """Every slice across the tilt axis keeps its mass: here the tilt axis is vertical, and x is claimed."""
    path = files.mrc(tmp_path)
    assert not any("mass" in sentence for sentence in read_scan(path).warnings)
    path.with_suffix(".json").write_text('{"tilt_axis": "x"}')
    assert any("seems to run along y, not x" in sentence for sentence in read_scan(path).warnings)


def test_mrc_says_only_the_doubt_where_nothing_was_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.mrc(tmp_path)
    assert any("taken to be vertical" in sentence for sentence in read_scan(path).warnings)
    monkeypatch.setattr("microlocal.io.mrc.contradiction", lambda stack, axis: (f"a doubt on {axis}",))
    said = read_scan(path).warnings
    assert "a doubt on y" in said
    assert not any("taken to be vertical" in sentence for sentence in said)


def test_hspy(tmp_path: Path) -> None:
    scan = read_scan(files.hspy(tmp_path))
    assert close(scan, files.stack() - np.percentile(files.stack(), 5), 1e-5)
    assert same(scan.geometry, replace(files.PARALLEL, unit="um"))
    assert scan.source.metadata["tomography"] == {"tiltaxis": 0.5}


def test_hspy_stored_tilts_come_first(tmp_path: Path) -> None:
    path = files.hspy(tmp_path)
    with h5py.File(path, "r+") as file:
        file["Experiments/__unnamed__/metadata/Tomography/_sig_tilts/data"] = files.DEGREES[:, None] / 2
    assert read_scan(path).geometry.angles == pytest.approx(files.PARALLEL.angles / 2)


def test_dxchange(tmp_path: Path) -> None:
    scan = read_scan(files.dxchange(tmp_path))
    assert close(scan, files.stack() / 3, 1e-5)
    assert same(scan.geometry, replace(files.PARALLEL, unit="pixel", detector=Detector(files.COUNT, 1.0)))
    assert scan.warnings == ("The file has no pixel size: lengths are in pixels.",)


def test_dxchange_with_pixel_size_and_rotation_instead_of_theta(tmp_path: Path) -> None:
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["exchange/theta"], file["exchange/data_dark"]
        file["process/acquisition/rotation/rotation_start"] = 10.0
        file["process/acquisition/rotation/rotation_step"] = 1.5
        file["measurement/instrument/detection_system/objective/resolution"] = 0.65
    scan = read_scan(path)
    assert (scan.geometry.detector.pitch, scan.geometry.unit) == (0.65, "um")
    assert np.degrees(scan.geometry.angles) == pytest.approx(10 + 1.5 * np.arange(12))
    assert scan.warnings == ("The file has no dark frames: the dark level is taken as zero.",)


def test_dead_pixels_are_repaired_and_said_aloud(tmp_path: Path) -> None:
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        file["exchange/data_white"][:, 1, 10] = files.DARK
        file["exchange/data"][3, 0, 5] = 0.0
        file["exchange/data"][4, 2, 6] = np.nan
    scan = read_scan(path)
    assert [s.split(" ")[0] for s in scan.warnings[:2]] == ["1", "2"]
    clean = files.stack() / 3
    assert scan.data[1, 0, 10] == pytest.approx((clean[1, 0, 9] + clean[1, 0, 11]) / 2, abs=1e-5)
    assert scan.data[0, 3, 5] == pytest.approx((clean[0, 3, 4] + clean[0, 3, 6]) / 2, abs=1e-5)
    assert np.abs(scan.data.numpy() - clean).max() < 0.5


@pytest.mark.parametrize("make", [files.tiff, files.tiff_folder, files.npz])
def test_plain_arrays_with_a_sidecar(tmp_path: Path, make: object) -> None:
    scan = read_scan(make(tmp_path))
    assert close(scan, files.stack())
    assert same(scan.geometry, files.PARALLEL)


def test_a_tiff_of_one_slice_may_name_its_three_axes(tmp_path: Path) -> None:
    path = files.tiff(tmp_path)
    files.tifffile.imwrite(path, files.stack().transpose(1, 0, 2)[:, :1], photometric="minisblack")
    path.with_suffix(".json").write_text(json.dumps(files.PARALLEL.to_dict() | {"axes": "angle, slice, detector"}))
    assert close(read_scan(path), files.stack()[0])


def test_one_sinogram_as_npy_with_a_named_sidecar_and_grid(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", files.sinogram(files.FAN).T)
    (tmp_path / "elsewhere").mkdir()
    grid = Grid((5, 7), 0.3, center=(1.0, -2.0))
    fields = files.FAN.to_dict() | {"grid": grid.to_dict(), "axes": "detector, angle"}
    (tmp_path / "elsewhere" / "fan.json").write_text(json.dumps(fields))
    scan = read_scan(tmp_path / "one.npy", geometry=tmp_path / "elsewhere" / "fan.json")
    assert close(scan, files.sinogram(files.FAN))
    assert same(scan.geometry, files.FAN)
    assert scan.grid == grid


def test_a_grid_without_a_unit_is_in_that_of_the_geometry(tmp_path: Path) -> None:
    path = files.npz(tmp_path)
    files.sidecar(path, unit="um", grid={"shape": [20, 22], "pixel": 0.6})
    assert read_scan(path).grid == Grid((20, 22), 0.6, unit="um")


@pytest.mark.parametrize("form", ["tif", "npy", "inside"])
def test_counts_with_flats_and_darks_beside_them(tmp_path: Path, form: str) -> None:
    path = tmp_path / "counts.npz"
    flats, darks = files.frames(files.FLAT + files.DARK), files.frames(files.DARK)
    if form == "inside":
        np.savez(path, data=files.counts(), flats=flats, darks=darks)
        files.sidecar(path, quantity="counts")
    else:
        path = files.tiff(tmp_path)
        files.tifffile.imwrite(path, files.counts().astype(np.float32), photometric="minisblack")
        for name, frames in (("flats", flats), ("darks", darks)):
            if form == "npy":
                np.save(tmp_path / f"{name}.npy", frames)
            else:
                files.tifffile.imwrite(tmp_path / f"{name}.tif", frames.astype(np.float32), photometric="minisblack")
        files.sidecar(path, quantity="counts", flats=f"flats.{form}", darks=f"darks.{form}")
    assert close(read_scan(path), files.stack() / 3, 1e-4)


def test_transmission(tmp_path: Path) -> None:
    path = files.npz(tmp_path)
    np.savez(path, data=np.exp(-files.stack()))
    files.sidecar(path, quantity="transmission", axes="slice, angle, detector")
    assert close(read_scan(path), files.stack(), 1e-5)


def test_even_angles_may_be_described(tmp_path: Path) -> None:
    path = files.npz(tmp_path)
    files.sidecar(path, angles_deg={"first": 0, "step": 15, "count": 12})
    assert same(read_scan(path).geometry, files.PARALLEL)


def test_pages_are_sorted_as_numbers(tmp_path: Path) -> None:
    """page_2 comes before page_10."""
    scan = read_scan(files.tiff_folder(tmp_path))
    assert close(scan.slices(0), files.sinogram())


@pytest.mark.parametrize("name", [*files.FILES, "tiff-folder"])
def test_the_content_decides_not_the_extension(tmp_path: Path, name: str) -> None:
    original = files.tiff_folder(tmp_path) if name == "tiff-folder" else files.FILES[name](tmp_path)
    expected = read_scan(original)
    renamed = original.with_suffix(".bin")
    shutil.move(original, renamed)
    scan = read_scan(renamed)
    assert torch.equal(scan.data, expected.data)
    assert scan.geometry == expected.geometry
    assert scan.source.sha256 == expected.source.sha256
    assert len(scan.source.sha256) == 64


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scan_round_trips_exactly(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    draw = np.random.default_rng(5)
    angles = tuple((draw.uniform(0, 3, 7)).tolist())
    detector = Detector(9, 0.1 + 1e-9, offset=-math.pi, reversed=True)
    geometry = FanBeam(angles, detector, "nm", source_axis=1 / 3, source_detector=2 / 3)
    data = torch.from_numpy(draw.standard_normal((2, 3, 7, 9))).to(dtype)
    source = Source("a/b.mat", "helsinki", "0" * 64, {"date": "today", "voltage": 45.1, "list": [1, None]})
    scan = Scan(data, geometry, Grid((4, 5), 0.1, (1 / 7, -2.0), "nm"), source, ("One.", "Zwei µ."))
    back = read_scan(write_scan(scan, tmp_path / "deep" / f"scan{suffix}"))
    assert back.data.dtype == dtype
    assert torch.equal(back.data, scan.data)
    assert (back.geometry, back.grid, back.source, back.warnings) == (geometry, scan.grid, source, scan.warnings)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_scan_from_memory_has_its_file_as_source(tmp_path: Path) -> None:
    source = read_scan(files.own_npz(tmp_path)).source
    assert (source.format, source.path) == ("microlocal", str(tmp_path / "own.npz"))
    assert len(source.sha256) == 64


def test_every_reader_is_one(tmp_path: Path) -> None:
    del tmp_path
    entries = registered("reader")
    assert set(entries) == {"dxchange", "helsinki", "hspy", "microlocal", "mrc", "npz", "tiff"}
    assert all(isinstance(entry.member, Reader) and entry.summary for entry in entries.values())


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ta_full", "ta_category7", "td_30", "td_category7", "ta_30_v73"])
def test_the_mask_explains_the_measured_data(shared: Path, name: str) -> None:
    """One scale times the projected true mask explains a Helsinki scan up to 5 % (and an air level), from metadata."""
    folder = shared / "data" / "htc2022"
    scan = read_scan(folder / f"{name}.mat")
    scan = scan.views(range(0, scan.geometry.shape[0], 4))
    mask = files_mask(folder / f"{name[:2]}_mask.png")
    projected = RayTransform(scan.geometry, scan.grid)(mask).double().numpy().ravel()
    measured = scan.data.double().numpy().ravel()
    design = np.stack([projected, np.ones_like(projected)], axis=1)
    residual = measured - design @ np.linalg.lstsq(design, measured, rcond=None)[0]
    assert np.linalg.norm(residual) <= 0.05 * np.linalg.norm(measured)


def files_mask(path: Path) -> torch.Tensor:
    from matplotlib.image import imread

    picture = imread(path)
    return torch.from_numpy((picture if picture.ndim == 2 else picture[..., 0]) > 0.5).float()


@pytest.mark.shared
def test_both_matlab_versions_and_the_tooth(shared: Path) -> None:
    assert read_scan(shared / "data" / "htc2022" / "ta_30_v73.mat").data.shape == (61, 560)
    tooth = read_scan(shared / "data" / "tooth" / "tooth.h5")
    assert tooth.data.shape == (2, 181, 640)
    assert isinstance(tooth.geometry, ParallelBeam)
    assert float(tooth.data.median()) < 1.5
