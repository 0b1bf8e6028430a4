"""Bad input: every case is refused (or repaired) by name, saying what was expected, what came and what to do."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scan_files as files
import scipy.io
import tifffile
import torch

from microlocal.core.errors import GeometryError, MicrolocalError, ScanFileError
from microlocal.io import read_scan


def refused(path: Path, *words: str, **options: Any) -> MicrolocalError:
    """The error of reading ``path``; it names the file and says the words."""
    with pytest.raises((ScanFileError, GeometryError)) as caught:
        read_scan(path, **options)
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert caught.value.do
    return caught.value


def npz_with(folder: Path, array: np.ndarray, **changes: Any) -> Path:
    path = files.npz(folder)
    np.savez(path, sinogram=array)
    files.sidecar(path, **changes)
    return path


@pytest.mark.parametrize("name", files.FILES)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_truncated_files(tmp_path: Path, name: str, kept: float) -> None:
    path = files.FILES[name](tmp_path)
    content = path.read_bytes()
    expected = read_scan(path)
    path.write_bytes(content[: int(kept * len(content))])
    if name == "tiff" and kept > 0.5:  # only the repeated page headers at the end are lost, every pixel is there
        assert torch.equal(read_scan(path).data, expected.data)
    else:
        refused(path)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n123", "a PNG image"),
        (b"just some notes", "a text file beginning with 'just some notes'"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04zip", "a ZIP archive"),
        (b"\x89HDF\r\n\x1a\n123", "an HDF5 file that cannot be opened"),
        (bytes(range(1, 200)), "unknown bytes 01 02 03"),
        (b'{"kind": "parallel"}', "a JSON file"),
    ],
)
def test_what_is_no_scan_is_described(tmp_path: Path, content: bytes, seen: str) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(content)
    refused(path, seen, "Helsinki", "MRC", "HyperSpy", "Data Exchange", "TIFF", "NPZ", "microlocal")


def test_missing_files_and_folders_without_pages(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.mat", "nothing there")
    refused(tmp_path / ("x" * 300), "name too long")
    refused(tmp_path, "a folder of 0 entries")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry"] = 1
    refused(tmp_path / "other.h5", "an HDF5 file with entry")


def test_other_matlab_files_and_missing_parameters(tmp_path: Path) -> None:
    path = tmp_path / "other.mat"
    scipy.io.savemat(path, {"image": np.eye(3)})
    refused(path, "CtDataFull", "image")
    kept = {k: v for k, v in files.parameters().items() if k != "pixelSizePost"}
    scipy.io.savemat(path, {"CtDataFull": {"sinogram": files.sinogram(files.FAN), "parameters": kept}})
    refused(path, "pixelSizePost")


@pytest.mark.parametrize("make", [files.tiff, files.tiff_folder, files.npz])
def test_a_missing_sidecar_is_asked_for(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path)
    for sidecar in tmp_path.rglob("*.json"):
        sidecar.unlink()
    refused(path, "JSON", "docs/scan-files.md")
    with pytest.raises(ScanFileError, match=r"none\.json"):
        read_scan(path, geometry=tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "helical"}, ("kind", "helical")),
        ({"angles_deg": None}, ("angles_deg",)),
        ({"angles_deg": [0, "ten"]}, ("angles_deg",)),
        ({"angles_deg": {"first": 0, "step": 1}}, ("count",)),
        ({"angles_deg": [0.0, 1.0]}, ("2 angles for 12 projections",)),
        ({"angles_deg": [7.0] * 12}, ("at least 2", "1 different angle")),
        ({"detector": {"count": 24}}, ("pitch",)),
        ({"detector": {"count": 24, "pitch": -1.0}}, ("pitch > 0",)),
        ({"detector": {"count": 24, "pitch": "1 mm"}}, ("detector", "1 mm")),
        ({"detector": {"count": 24.5, "pitch": 1.0}}, ("whole number",)),
        ({"detector": {"count": 25, "pitch": 1.0}}, ("25 detector pixels", "24")),
        ({"kind": "fan", "source_axis": 50.0, "source_detector": 40.0}, ("source_axis < source_detector",)),
        ({"kind": "fan", "source_axis": "far"}, ("source_axis", "far")),
        ({"unit": 3}, ("unit",)),
        ({"grid": {"pixel": 1.0}}, ("grid",)),
        ({"grid": {"shape": [0, 4], "pixel": 1.0}}, ("grid",)),
        ({"axes": "angle, angle"}, ("axes",)),
        ({"axes": "angle, detector"}, ("axes",)),
        ({"quantity": "photons"}, ("quantity", "photons", "counts")),
        ({"quantity": "counts"}, ("flats",)),
        ({"quantity": "counts", "flats": "gone.tif"}, ("gone.tif",)),
        ({"pixel_size": 3}, ("pixel_size", "angles_deg")),
    ],
)
def test_sidecars_are_checked_field_by_field(tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    path = files.npz(tmp_path)
    files.sidecar(path, **changes)
    with pytest.raises((ScanFileError, GeometryError)) as caught:
        read_scan(path)
    for word in ("foreign.", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"kind": "parallel"', "\x00", "[" * 3000])
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    path = files.npz(tmp_path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ScanFileError, match="JSON"):
        read_scan(path)


def test_a_foreign_json_beside_the_data_is_not_taken(tmp_path: Path) -> None:
    path = files.mrc(tmp_path)
    path.with_suffix(".json").write_text('{"author": "somebody"}')
    assert read_scan(path).data.shape == (3, 12, 24)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_data_are_counted(tmp_path: Path, value: float) -> None:
    array = files.sinogram()
    array[2, 3:5] = value
    refused(npz_with(tmp_path, array), "2 NaN or infinite of 288")


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_data_are_refused(tmp_path: Path, value: float) -> None:
    refused(npz_with(tmp_path, np.full((12, 24), value)), f"the one value {value:g} everywhere")


def test_a_detector_of_one_pixel_is_refused(tmp_path: Path) -> None:
    refused(npz_with(tmp_path, files.sinogram()[:, :1], detector={"count": 1, "pitch": 1.0}), "at least 2")
    refused(npz_with(tmp_path, np.ones((1, 1)), detector={"count": 1, "pitch": 1.0}, angles_deg=[0]), "at least 2")


def test_one_view_is_refused(tmp_path: Path) -> None:
    refused(npz_with(tmp_path, files.sinogram()[:1], angles_deg=[0.0]), "at least 2 view angles")


@pytest.mark.parametrize("array", [np.zeros((0, 24)), np.ones(5), np.ones((2, 2, 2, 2)), np.array(1.0)])
def test_arrays_that_are_no_sinogram(tmp_path: Path, array: np.ndarray) -> None:
    refused(npz_with(tmp_path, array), "shape")


@pytest.mark.parametrize("array", [np.ones((12, 24), complex), np.full((12, 24), "text")])
def test_arrays_that_are_no_real_numbers(tmp_path: Path, array: np.ndarray) -> None:
    refused(npz_with(tmp_path, array), "real numbers")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = files.npz(tmp_path)
    np.savez(path, allow_pickle=True, sinogram=np.array([{"a": 1}, None], dtype=object))
    refused(path, "NumPy file")
    np.save(path.with_suffix(".npy"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(path.with_suffix(".npy"), "NumPy file")


def test_shuffled_angles_are_sorted_and_said(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(12)
    scan = read_scan(npz_with(tmp_path, files.sinogram()[order], angles_deg=files.DEGREES[order].tolist()))
    assert np.abs(scan.data.numpy() - files.sinogram()).max() == 0
    assert np.degrees(scan.geometry.angles) == pytest.approx(files.DEGREES)
    assert any("sorted" in sentence for sentence in scan.warnings)


def test_descending_angles_are_reversed(tmp_path: Path) -> None:
    scan = read_scan(npz_with(tmp_path, files.sinogram()[::-1], angles_deg=files.DEGREES[::-1].tolist()))
    assert np.abs(scan.data.numpy() - files.sinogram()).max() == 0


def test_repeated_angles_are_averaged_and_said(tmp_path: Path) -> None:
    array, angles = files.sinogram(), files.DEGREES.copy()
    angles[5], angles[7] = angles[4], angles[4] + 360
    scan = read_scan(npz_with(tmp_path, array, angles_deg=angles.tolist()))
    assert scan.geometry.shape[0] == 10
    assert np.allclose(scan.data[4].numpy(), (array[4] + array[5] + array[7]) / 3)
    assert scan.warnings == ("2 views repeated the direction of another: such views were averaged.",)


def test_angles_that_look_like_radians_are_said(tmp_path: Path) -> None:
    scan = read_scan(npz_with(tmp_path, files.sinogram(), angles_deg=np.radians(files.DEGREES).tolist()))
    assert "radians" in scan.warnings[0]
    scan = read_scan(npz_with(tmp_path, files.sinogram(), angles_deg=(files.DEGREES / 3).tolist()))
    assert scan.warnings == ()


def test_units_that_nobody_knows(tmp_path: Path) -> None:
    refused(files.hspy(tmp_path, unit="parsec"), "tilts in degrees", "parsec")
    refused(files.helsinki(tmp_path, distanceUnit="furlong"), "furlong", "mm")
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        file["exchange/theta"].attrs["units"] = "gon"
    refused(path, "gon")


def test_radians_of_a_file_that_says_so(tmp_path: Path) -> None:
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        file["exchange/theta"][...] = np.radians(files.DEGREES)
        file["exchange/theta"].attrs["units"] = "radians"
    assert np.degrees(read_scan(path).geometry.angles) == pytest.approx(files.DEGREES)


def test_counts_said_to_be_line_integrals(tmp_path: Path) -> None:
    path = npz_with(tmp_path, 1000 + files.sinogram())
    assert any("counts" in sentence for sentence in read_scan(path).warnings)


def test_flats_that_are_none(tmp_path: Path) -> None:
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        file["exchange/data_white"][...] = 0.0
    refused(path, "flats brighter than darks")
    with h5py.File(path, "r+") as file:
        del file["exchange/data_white"]
    refused(path, "exchange/data_white")
    with h5py.File(path, "r+") as file:
        file["exchange/data_white"] = np.ones((1, 2, 24))
    refused(path, "frames of shape (3, 24)")


def test_counts_without_transmission(tmp_path: Path) -> None:
    path = files.dxchange(tmp_path)
    with h5py.File(path, "r+") as file:
        file["exchange/data"][...] = 0.0
    refused(path, "864 of 864 without transmission")


def test_tilt_angles_missing_or_unreadable(tmp_path: Path) -> None:
    path = files.mrc(tmp_path)
    tilts = tmp_path / "series.rawtlt"
    tilts.write_text("0.0\nten\n")
    with pytest.raises(ScanFileError, match="numbers only"):
        read_scan(path)
    tilts.write_text("0.0\n1.0\n")
    refused(path, "2 angles for 12 projections")
    tilts.unlink()
    refused(path, ".rawtlt")


def test_pages_of_different_shapes_and_colours(tmp_path: Path) -> None:
    folder = files.tiff_folder(tmp_path)
    tifffile.imwrite(folder / "page_99.tif", np.ones((2, 2), np.float32))
    with pytest.raises(ScanFileError, match="pages of one shape"):
        read_scan(folder)
    path = files.tiff(tmp_path)
    tifffile.imwrite(path, np.zeros((8, 24, 3), np.uint8), photometric="rgb")
    refused(path, "grey values")


def test_a_header_that_declares_more_than_the_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "huge.hspy"
    with h5py.File(path, "w") as file:
        file.create_dataset("Experiments/x/data", shape=(77, 10**6, 10**6), dtype="f4", chunks=(1, 1000, 1000))
    refused(path, "declares")


def test_own_files_of_another_version_or_geometry(tmp_path: Path) -> None:
    path = files.own_h5(tmp_path)
    with h5py.File(path, "r+") as file:
        header = json.loads(file["microlocal_scan"][()])
        del file["microlocal_scan"]
        file["microlocal_scan"] = np.bytes_(json.dumps(header | {"version": 99}))
    refused(path, "version 99")
    with h5py.File(path, "r+") as file:
        del file["microlocal_scan"]
        header["geometry"]["detector"]["count"] = 7
        file["microlocal_scan"] = np.bytes_(json.dumps(header))
    with pytest.raises(GeometryError, match="7 pixels"):
        read_scan(path)


def test_broken_heaps_and_tags_are_found_before_a_library_meets_them(tmp_path: Path) -> None:
    """Both kinds of damage were found by fuzzing: libhdf5 walks such a heap for ever, SciPy reads out of bounds."""
    path = files.hspy(tmp_path)
    content = path.read_bytes()
    at = content.index(b"GCOL")
    first_size = at + 16 + 8
    path.write_bytes(content[:first_size] + b"\xff" * 8 + content[first_size + 8 :])
    refused(path, "a heap with an object")
    reference = content.index(at.to_bytes(8, "little"))
    path.write_bytes(content[: reference - 1] + b"\x53" + content[reference:])
    refused(path, "a text of")
    path = files.helsinki(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:132] + b"\xff\xff\xff\x7f" + content[136:])
    refused(path, "an element of 2147483647 bytes")


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_values_whose_squares_single_precision_loses(tmp_path: Path, factor: float) -> None:
    """Norms of such data overflow or vanish: a residual of nan or of 0 would be told."""
    path = npz_with(tmp_path, files.stack().transpose(1, 0, 2) * factor)
    refused(path, "largest value", "Rescale")


def test_what_only_looks_like_a_broken_reference_is_read(tmp_path: Path) -> None:
    """The address of a heap after some letters, in the heap's own texts and in data: real tilt series have both."""
    path = files.hspy(tmp_path)
    text = "x" * 40
    with h5py.File(path, "r+") as file:
        file["Experiments"].attrs["note"] = text
    content = path.read_bytes()
    at = content.index(text.encode())
    heap = content.rindex(b"GCOL", 0, at)
    assert at < heap + 4096
    address = heap.to_bytes(8, "little")
    alike = b"rees" + address + (1).to_bytes(4, "little")
    content = content[:at] + alike + content[at + len(alike) :]
    content += b"rees" + address + (3840).to_bytes(4, "little")
    path.write_bytes(content)
    assert read_scan(path).source.format == "hspy"


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """A link that leads to itself: no user, root included, can open it."""
    path = tmp_path / "loop.mat"
    path.symlink_to(path)
    refused(path, "expected a")
    shutil.rmtree(tmp_path)
