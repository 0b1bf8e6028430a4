"""Writers: what is written reads back, ImageJ's tags say the pixel size, and nothing half-written is left."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scan_files as files
import tifffile
import torch
from matplotlib.image import imread

import microlocal as ml
from microlocal.calibration.center import find_axis
from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.errors import InputError, OutputError, ScanFileError, ShapeError
from microlocal.core.provenance import COLOURS
from microlocal.core.registry import registered
from microlocal.data import needle
from microlocal.io import volume_at, write_json, write_npz, write_png, write_scan, write_tiff
from microlocal.members import load_all
from microlocal.reconstruction.result import Reconstruction
from microlocal.reconstruction.writers import facts, read_result
from microlocal.wavefront.lengths import edge_shares

OWN_WRITERS = ("image.tif", "image.png", "provenance.tif", "edges.tif", "result.npz", "result.json")


def reconstruction(*batch: int) -> Reconstruction:
    scan = files.own_scan()
    scan = replace(scan, data=scan.data.expand(*batch, *scan.data.shape).contiguous(), warnings=("Said.",))
    shape = (*batch, *scan.grid.shape)
    image = torch.arange(float(np.prod(shape))).reshape(shape)
    codes = (image.long() % 4).to(torch.uint8)
    claims = (
        Certificate("The data are explained.", Kind.BOUNDED, 0.1, float("inf"), (Hypothesis("g >= 0", "yes", True),)),
    )
    return Reconstruction(
        image,
        scan,
        "tv",
        codes,
        codes,
        torch.full(scan.grid.shape, 0.25),
        torch.zeros(scan.data.shape),
        certificates=claims,
        history={"objective": [3.0, 2.5]},
        metrics={"mcc": 0.5, "psnr": float("inf")},
        config={"weight": 0.1, "seed": 3, "angles": [0.0, 90.0]},
        notes=("The weight was chosen.",),
        references=("rudin1992",),
    )


def write(result: Reconstruction, folder: Path) -> Path:
    for name in OWN_WRITERS:
        assert registered("result-writer")[name].member(result, folder) == folder / name
    return folder


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_a_reconstruction_reads_back(tmp_path: Path, batch: tuple[int, ...]) -> None:
    result = reconstruction(*batch)
    back = read_result(write(result, tmp_path / "out"))
    for name in ("image", "provenance", "edges", "measured_directions", "residual"):
        assert torch.equal(getattr(back, name), getattr(result, name)), name
        assert getattr(back, name).dtype == getattr(result, name).dtype
    for name in ("method", "certificates", "history", "metrics", "config", "notes", "references"):
        assert getattr(back, name) == getattr(result, name), name
    assert torch.equal(back.scan.data, result.scan.data)
    assert (back.scan.geometry, back.scan.grid) == (result.scan.geometry, result.scan.grid)
    assert (back.scan.source, back.scan.warnings) == (result.scan.source, result.scan.warnings)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_what_was_learned_reads_back_beside_what_was_measured(tmp_path: Path, batch: tuple[int, ...]) -> None:
    plain = reconstruction(*batch)
    learned = replace(plain, learned=0.25 * plain.image, edges_visible=plain.edges.flip(-1))
    load_all()
    back = ml.read_result(learned.save(tmp_path))
    assert torch.equal(back.learned, learned.learned)
    assert torch.equal(back.visible, 0.75 * plain.image)
    assert torch.equal(back.edges_visible, learned.edges_visible)
    with np.load(tmp_path / "result.npz") as stored:
        assert np.allclose(stored["visible"] + stored["learned"], stored["image"])
    assert np.array_equal(tifffile.imread(tmp_path / "learned.tif"), learned.learned.numpy())
    shares = json.loads((tmp_path / "result.json").read_text())["edges"]
    assert shares == {kind.name.lower(): share for kind, share in edge_shares(plain.edges.numpy()).items()}
    again = ml.read_result(plain.save(tmp_path))
    assert (again.learned, again.edges_visible) == (None, None)
    assert torch.equal(again.visible, plain.image)
    assert not (tmp_path / "learned.tif").exists()  # that of the earlier run would lie


@pytest.mark.parametrize("name", ["provenance", "edges"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_codes_are_a_tiff_with_a_named_colour_map(tmp_path: Path, name: str, batch: tuple[int, ...]) -> None:
    result = reconstruction(*batch)
    with tifffile.TiffFile(registered("result-writer")[f"{name}.tif"].member(result, tmp_path)) as file:
        page = file.pages[0]
        assert np.array_equal(file.asarray(), getattr(result, name).numpy())
        colours = ["#" + "".join(f"{v // 257:02x}" for v in page.colormap[:, code]) for code in range(4)]
        numerator, denominator = page.tags["XResolution"].value
        said = json.loads(page.description)
    assert colours == ["#000000", *COLOURS.values()]
    assert said["codes"] == {"1": "measured", "2": "learned", "3": "undetermined"}
    assert denominator / numerator == pytest.approx(said["pixel"]) == files.PITCH
    assert said["unit"] == "mm"


def test_the_json_is_strict_and_complete(tmp_path: Path) -> None:
    folder = write(reconstruction(), tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    fields = json.loads((folder / "result.json").read_text(), parse_constant=refuse)
    assert {"method", "config", "geometry", "grid", "versions", "data_sha256", "metrics", "certificates"} <= set(fields)
    assert fields == json.loads(json.dumps(facts(reconstruction())))
    assert fields["versions"]["torch"] == torch.__version__


def test_images_of_a_reconstruction(tmp_path: Path) -> None:
    folder = write(reconstruction(3), tmp_path)
    with tifffile.TiffFile(folder / "image.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "mm"
        assert file.series[0].axes == "ZYX"
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert denominator / numerator == pytest.approx(files.PITCH)
        assert file.asarray().dtype == np.float32
        assert np.array_equal(file.asarray(), reconstruction(3).image.numpy())
    assert imread(folder / "image.png").shape[:2] == (files.COUNT, files.COUNT)


def test_results_of_different_runs_do_not_mix(tmp_path: Path) -> None:
    folder = write(reconstruction(), tmp_path)
    fields = json.loads((folder / "result.json").read_text())
    write_json(fields | {"data_sha256": "0" * 64}, folder / "result.json")
    with pytest.raises(ScanFileError, match="different runs"):
        read_result(folder)
    (folder / "result.json").write_text("{")
    with pytest.raises(ScanFileError, match="damaged"):
        read_result(folder)
    (folder / "result.json").unlink()
    with pytest.raises(ScanFileError, match=r"no result\.json"):
        read_result(folder)


@pytest.mark.parametrize("name", OWN_WRITERS)
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    """A file where the folder should be stops every user, root included."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="a place that can be written"):
        registered("result-writer")[name].member(reconstruction(), tmp_path / "taken" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["taken"]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_json({"a": 1}, tmp_path / "x.json")
    full = OSError(28, "No space left on device")

    def half(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[:3].encode(encoding))
        raise full

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OutputError, match="No space left"):
        write_json({"a": 2}, path)
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("unit", ["mm", "µm", "Å", "pixel", "長"])
@pytest.mark.parametrize("pixel", [1.0, 0.037, 1e-4, 1e4, 1e-10, 1e-30, 1e12])
def test_pixels_of_every_size_and_unit_can_be_written(tmp_path: Path, unit: str, pixel: float) -> None:
    # "µm" is no ASCII, and beyond 2^32 pixels a unit no fraction of the format: the run ended without its image.
    stack = np.arange(12.0).reshape(1, 3, 4)
    for image in (stack, stack[0]):
        with tifffile.TiffFile(write_tiff(image, tmp_path / "a.tif", pixel, unit)) as file:
            above, below = file.pages[0].tags["XResolution"].value
            name = file.imagej_metadata["unit"]
            np.testing.assert_array_equal(file.asarray().reshape(3, 4), stack[0])
        side, name = below / above, "".join(map(str, name)).encode().decode("unicode_escape")
        told = name.split(" ")
        factor = float(told[0]) if len(told) == 2 else 1.0
        assert side * factor == pytest.approx(pixel, rel=1e-6)
        assert told[-1] == unit
    for form in ("tiff", "bigtiff"):
        for coded in (True, False):
            volume = volume_at(tmp_path / f"{form}{coded}", form, (1, 3, 4), 0, pixel, unit, coded=coded)
            volume.create({})
            volume.write(0, stack[0])
            np.testing.assert_array_equal(volume.read(0), stack[0])


def test_tiffs_of_nothing_and_of_complex_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="got \\(0, 3\\)"):
        write_tiff(np.ones((0, 3)), tmp_path / "a.tif", 1.0, "mm")
    with pytest.raises(ShapeError, match="got \\(0, 3\\)"):
        write_png(np.ones((0, 3)), tmp_path / "a.png", (0.0, 1.0))
    with pytest.raises(InputError, match="expected real numbers"):
        write_tiff(np.ones((2, 3)) * 1j, tmp_path / "a.tif", 1.0, "mm")
    with pytest.raises(InputError, match="pixel > 0"):
        write_tiff(np.ones((2, 3)), tmp_path / "a.tif", 0.0, "mm")


def test_png_is_windowed(tmp_path: Path) -> None:
    picture = np.array([[-1.0, 0.0], [0.5, 9.0]])
    grey = imread(write_png(picture, tmp_path / "a.png", (0.0, 1.0)))[..., 0]
    assert grey == pytest.approx(np.array([[0, 0], [0.5, 1]]), abs=0.01)


def test_values_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="of objects"):
        write_npz({"a": np.array([None])}, tmp_path / "a.npz")
    with pytest.raises(ShapeError, match=r"\(row, col\)"):
        write_png(np.zeros(3), tmp_path / "a.png", (0, 1))
    with pytest.raises(ShapeError, match="slice, row, col"):
        write_tiff(np.zeros((1, 2, 3, 4)), tmp_path / "a.tif", 1.0, "mm")
    with pytest.raises(OutputError, match=r"\.npz"):
        write_scan(files.own_scan(), tmp_path / "scan.mat")
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_needle() -> None:
    scan = needle()
    assert scan.data.shape == (6, 77, 256)
    assert np.degrees(scan.geometry.angles) == pytest.approx(np.arange(-76.0, 77.0, 2.0))
    assert (scan.geometry.detector.pitch, scan.geometry.unit) == (3.36, "nm")
    assert scan.source.sha256.startswith("9516accf")
    assert "etspy" in scan.source.path
    vacuum = scan.data[:, :, :10]
    assert float(vacuum.abs().max()) < 0.02 * float(scan.data.max())
    assert find_axis(scan).center_pixels == pytest.approx(127.75, abs=0.75)
    with pytest.raises(InputError):
        scan.slices(6)
