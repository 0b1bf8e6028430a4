"""The digital wavefront set: positions, directions, ridges, labels, files, the sinogram's own."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from cli_help import SIZE, answer, run, said, scan_file
from matplotlib.axes import Axes
from PIL import Image

import microlocal as ml
from microlocal.core import InputError, ScanFileError, ShapeError
from microlocal.core.errors import UnknownNameError
from microlocal.core.provenance import Provenance
from microlocal.data.phantoms import Ellipse, image, sinogram
from microlocal.frames.complex_shearlet import ComplexShearlets, ShearletSystem
from microlocal.io import read_picture
from microlocal.wavefront import EDGE, RIDGE, image_singularity, is_measured, label_edges
from microlocal.wavefront.fields import less_surround
from microlocal.wavefront.from_sinogram import image_singularities

N = 128
GRID = ml.Grid((N, N), 1.0)
MIDDLE = (N - 1) / 2


def outline(shape: Ellipse, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of an ellipse whose outward normals are φ."""
    (a, b), turned = shape.semi_axes, phi - shape.angle_rad
    width = np.hypot(a * np.cos(turned), b * np.sin(turned))
    along, across = a * a * np.cos(turned) / width, b * b * np.sin(turned) / width
    cos, sin = math.cos(shape.angle_rad), math.sin(shape.angle_rad)
    return shape.center[0] + along * cos - across * sin, shape.center[1] + along * sin + across * cos


def error_of(shape: Ellipse, x: np.ndarray, y: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the distance of each point from the point of the outline that has its normal, of the two the nearer."""
    (ax, ay), (bx, by) = outline(shape, normal), outline(shape, normal + np.pi)
    return np.minimum(np.hypot(x - ax, y - ay), np.hypot(x - bx, y - by))


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_directions_and_places_on_an_ellipse(noise):
    shape = Ellipse(1.0, (40.0, 24.0), (3.3, -5.2), 0.6)
    plane = image([shape], GRID) + noise * np.random.default_rng(0).normal(size=GRID.shape)
    found = ml.edges(plane)
    x, y = found.col - MIDDLE, MIDDLE - found.row
    phi = np.linspace(0, 2 * np.pi, 3000)
    px, py = outline(shape, phi)
    gap = np.hypot(x[:, None] - px, y[:, None] - py)
    nearest = phi[gap.argmin(axis=1)]
    error = np.degrees(np.abs(np.arcsin(np.sin(found.direction_rad - nearest))))
    assert np.median(error) < 0.6 + 5 * noise
    assert np.median(gap.min(axis=1)) < 0.12 + 0.5 * noise
    # The normal points to the bright side: inwards.
    assert (np.cos(found.direction_rad - nearest) < 0).mean() > 0.98
    assert gap.min(axis=0).max() < 2


@pytest.mark.parametrize(("value", "sign"), [(1.0, 1), (-1.0, -1)])
def test_curvature_of_a_disc_has_the_sign_of_its_bright_side(value, sign):
    found = ml.edges(image([Ellipse(value, (25.0, 25.0))], GRID))
    assert np.median(found.curvature) == pytest.approx(sign / 25, abs=0.004)


@pytest.mark.parametrize("width", [3.0, 6.0])
@pytest.mark.parametrize("degrees", [0.0, 20.0, 63.0])
def test_a_line_is_a_ridge_with_its_direction_place_and_width(width, degrees):
    phi = math.radians(degrees)
    x, y = GRID.coordinates()
    distance = np.abs(x * math.cos(phi) + y[:, None] * math.sin(phi) - 1.3)
    found = ml.edges(np.clip(width / 2 + 0.5 - distance, 0, 1), ridges=True)
    ridge = found.kind == RIDGE
    strong = ridge & (found.strength > 0.5 * found.strength[ridge].max())
    strong &= np.hypot(found.row - MIDDLE, found.col - MIDDLE) < 40
    s = (found.col - MIDDLE) * math.cos(phi) + (MIDDLE - found.row) * math.sin(phi)
    assert strong.sum() > 40
    assert np.median(np.abs(s[strong] - 1.3)) < 0.2
    turn = np.degrees(np.arcsin(np.sin(found.direction_rad[strong] - phi)))
    assert np.median(np.abs(turn)) < 1
    assert np.median(found.width[strong]) == pytest.approx(width, rel=0.25)
    assert (found.kind == EDGE).any()
    assert np.isnan(found.width[found.kind == EDGE]).all()


def test_odd_coefficients_measure_the_height_of_a_step_and_even_ones_vanish():
    """The closed form of the normalisation, at all scales: two steps between pixels, so that all is periodic."""
    step = np.zeros((256, 256))
    step[:, 64:192] = 2.5
    system = ShearletSystem(scales=3)
    c = ComplexShearlets((256, 256), system)(torch.from_numpy(step))
    flat = system.directions.index((False, 0))
    even, odd = c[:, flat, 0, 40], c[:, flat, 1, 40]
    assert torch.allclose(odd[1:, 63:65].mean(dim=1), torch.tensor(2.5, dtype=torch.float64), rtol=0.05)
    assert float((even[:, 63] + even[:, 64]).abs().max()) < 1e-6


def test_points_are_labelled_by_the_visibility_of_their_own_direction():
    beam = ml.ParallelBeam(tuple(np.radians(np.arange(0.5, 90.0))), ml.Detector(N, 1.0))
    found = ml.edges(image([Ellipse(1.0, (30.0, 30.0))], GRID), geometry=beam, grid=GRID)
    seen = is_measured(beam, 0.0, 0.0, found.direction_rad)
    assert set(np.unique(found.provenance)) == {int(Provenance.MEASURED), int(Provenance.UNDETERMINED)}
    measured = found.provenance == int(Provenance.MEASURED)
    assert not (measured & ~seen).any()
    assert (seen & ~measured).mean() < 0.1


A_QUARTER = ml.ParallelBeam(tuple(np.radians(np.arange(0.5, 90.0))), ml.Detector(N, 1.0))


@pytest.mark.parametrize("model", ["canny", "shearlet"])
@pytest.mark.parametrize(("height", "word"), [(0.0, Provenance.LEARNED), (0.4, Provenance.LEARNED),
                                              (0.6, Provenance.UNDETERMINED)])  # fmt: skip
def test_what_is_not_measured_and_for_the_most_part_was_not_there_before_is_learned(model, height, word):
    kept, added = Ellipse(1.0, (20.0, 20.0), (-30.0, 0.0)), Ellipse(1.0, (20.0, 20.0), (30.0, 0.0))
    before = image([kept], GRID) + height * image([added], GRID)
    found = ml.edges(image([kept, added], GRID), model, geometry=A_QUARTER, grid=GRID, before=before)
    right = found.col > MIDDLE
    seen = is_measured(A_QUARTER, 0.0, 0.0, found.direction_rad)
    assert set(np.unique(found.provenance[right])) == {int(Provenance.MEASURED), int(word)}
    assert set(np.unique(found.provenance[~right])) == {int(Provenance.MEASURED), int(Provenance.UNDETERMINED)}
    assert not (seen & (found.provenance == int(Provenance.LEARNED))).mean() > 0.05
    assert not (~seen & (found.provenance == int(Provenance.MEASURED))).any()


def test_lines_that_a_network_drew_are_learned_too():
    x, _ = GRID.coordinates()
    bar = np.broadcast_to(np.clip(2.0 - np.abs(x - 1.3), 0, 1), GRID.shape)
    blind = ml.ParallelBeam(tuple(np.radians(np.arange(60.5, 120.0))), ml.Detector(N, 1.0))
    found = ml.edges(bar, ridges=True, geometry=blind, grid=GRID, before=np.zeros(GRID.shape))
    assert (found.provenance[found.kind == RIDGE] == int(Provenance.LEARNED)).sum() > 100
    same = ml.edges(bar, ridges=True, geometry=blind, grid=GRID, before=bar)
    assert set(np.unique(same.provenance[same.kind == RIDGE])) == {int(Provenance.UNDETERMINED)}


def test_the_model_canny_calls_learned_what_label_edges_does():
    added = [Ellipse(1.0, (14.0, 22.0), (35.0, 10.0), 0.4)]
    before = torch.from_numpy(image([Ellipse(1.0, (25.0, 40.0), (-20.0, 0.0))], GRID))
    now = before + torch.from_numpy(image(added, GRID))
    codes = label_edges(now, A_QUARTER, GRID, before=before).numpy()
    found = ml.edges(now, "canny", geometry=A_QUARTER, grid=GRID, before=before)
    shares = [[(c == int(k)).sum() / (c > 0).sum() for k in (1, 2, 3)] for c in (codes, found.provenance)]
    assert min(shares[0]) > 0.1
    assert shares[1] == pytest.approx(shares[0], abs=0.02)


BEAMS = {
    "parallel": ml.ParallelBeam(tuple(np.radians(np.arange(0, 180, 0.5))), ml.Detector(192, 1.0)),
    "fan": ml.FanBeam(tuple(np.radians(np.arange(0, 360.0))), ml.Detector(192, 2.4), source_axis=400.0,
                      source_detector=800.0),
}  # fmt: skip


@pytest.mark.parametrize("beam", BEAMS)
def test_the_wavefront_set_of_an_ellipse_is_read_from_its_sinogram(beam):
    shape = Ellipse(1.0, (50.0, 30.0), (10.0, -12.0), 0.5)
    geometry = BEAMS[beam]
    found = ml.from_sinogram(torch.from_numpy(sinogram([shape], geometry)), geometry)
    error = error_of(shape, found.x, found.y, found.normal_rad)
    assert len(found) > 400
    assert np.median(error) < 0.7
    # The normal at the nearest point of the outline, whatever the normal that was read.
    phi = np.linspace(0, 2 * np.pi, 3000)
    px, py = outline(shape, phi)
    nearest = phi[np.hypot(found.x[:, None] - px, found.y[:, None] - py).argmin(axis=1)]
    assert np.median(np.degrees(np.abs(np.arcsin(np.sin(found.normal_rad - nearest))))) < 1.5


def test_the_relation_for_arrays_is_that_for_one_edge():
    for geometry in BEAMS.values():
        t, u, slope = np.array([0.3, 1.0]), np.array([20.0, -31.0]), np.array([12.0, -40.0])
        x, y, normal = image_singularities(geometry, t, u, slope)
        for k in range(2):
            assert image_singularity(geometry, t[k], u[k], slope[k]) == pytest.approx((x[k], y[k], normal[k]))


def test_uneven_views_are_refused():
    beam = ml.ParallelBeam((0.0, 0.1, 0.3), ml.Detector(16, 1.0))
    with pytest.raises(InputError, match="evenly"):
        ml.from_sinogram(torch.zeros(3, 16), beam)


def test_less_its_surround_a_line_is_what_it_was_and_an_even_texture_nothing():
    line = np.zeros((128, 128))
    line[:, 64] = 1
    assert less_surround(line, 16.0)[64, 64] == pytest.approx(1 - 1 / (16 * math.sqrt(2 * math.pi)), abs=1e-3)
    assert np.abs(less_surround(np.ones((64, 64)), 16.0)).max() < 1e-12


@pytest.mark.parametrize("ridges", [False, True])
def test_the_surround_is_taken_off_the_strengths_of_a_model(ridges):
    disc = image([Ellipse(1.0, (25.0, 25.0))], GRID)
    plain, less = ml.edges(disc, ridges=ridges), ml.edges(disc, ridges=ridges, surround=16.0)
    assert np.array_equal(less.edge.strength, less_surround(plain.edge.strength, 16.0))
    assert np.array_equal(less.edge.normal_rad, plain.edge.normal_rad)
    assert len(less) > 100
    if ridges:
        assert np.array_equal(less.ridge.strength, less_surround(plain.ridge.strength, 16.0))


def test_what_is_no_image_is_refused():
    with pytest.raises(ShapeError, match="row, col"):
        ml.edges(torch.zeros(2, 8, 8))
    with pytest.raises(InputError, match="finite"):
        ml.edges(torch.full((8, 8), torch.nan))
    with pytest.raises(UnknownNameError, match="shearlet"):
        ml.edges(torch.zeros(8, 8), "sobel")
    with pytest.raises(InputError, match="ridges"):
        ml.edges(torch.zeros(8, 8), "canny", ridges=True)
    with pytest.raises(ShapeError, match="8, 8"):
        ml.edges(torch.zeros(8, 8), geometry=A_QUARTER, grid=ml.Grid((8, 8), 1.0), before=torch.zeros(8, 9))
    with pytest.raises(InputError, match="surround > 0"):
        ml.edges(torch.zeros(8, 8), surround=0.0)
    with pytest.raises(InputError, match="geometry"):
        ml.edges(torch.zeros(8, 8), before=torch.zeros(8, 8))


def picture(folder):
    """Write a disc as a colour PNG; return its file."""
    plane = (255 * image([Ellipse(1.0, (12.0, 12.0))], ml.Grid((SIZE, SIZE), 1.0))).astype(np.uint8)
    path = folder / "disc.png"
    Image.fromarray(np.stack([plane, plane // 2, plane], axis=-1)).save(path)
    return path


def test_the_verb_writes_a_table_arrays_and_a_picture(tmp_path):
    found = answer(run("edges", picture(tmp_path), "--out", tmp_path / "out", "--ridges", "--json"))
    assert found["edges"] > 60
    assert found["provenance"] is None
    with (tmp_path / "out" / "edges.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == found["edges"] + found["ridges"]
    radius = [math.hypot(float(r["row"]) - 23.5, float(r["col"]) - 23.5) for r in rows if r["kind"] == "edge"]
    assert np.median(radius) == pytest.approx(12, abs=0.3)
    with np.load(tmp_path / "out" / "edges.npz") as stored:
        assert stored["row"].shape == (len(rows),)
        assert stored["ridge_strength"].shape == (SIZE, SIZE)
    drawn = np.asarray(Image.open(tmp_path / "out" / "edges.png").convert("RGB"))
    assert drawn.std() > 10


@pytest.mark.parametrize("shape", [(8, 1000), (1000, 8)])
def test_a_long_picture_is_drawn_with_its_wheel(tmp_path, shape):
    plane = np.zeros(shape, np.uint8)
    plane[shape[0] // 2 :, shape[1] // 4 :] = 200
    Image.fromarray(plane).save(tmp_path / "long.png")
    result = run("edges", tmp_path / "long.png", "--out", tmp_path / "out")
    assert result.exit_code == 0
    drawn = np.asarray(Image.open(tmp_path / "out" / "edges.png").convert("RGB")).astype(int)
    coloured = np.ptp(drawn, axis=2) > 60
    assert np.ptp(np.flatnonzero(coloured[:, -250:].any(axis=1))) > 100


def test_a_picture_without_edges_is_drawn_grey_and_says_so(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda self, text, **_: titles.append(text))
    Image.fromarray(np.full((64, 64), 128, np.uint8)).save(tmp_path / "even.png")
    assert run("edges", tmp_path / "even.png", "--out", tmp_path / "out").exit_code == 0
    drawn = np.asarray(Image.open(tmp_path / "out" / "edges.png").convert("RGB"))
    assert 80 < drawn[drawn.shape[0] // 2, drawn.shape[1] // 3].mean() < 200
    assert "no edges found" in titles


def test_a_picture_of_a_pixel_is_called_too_small(tmp_path):
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "dot.png")
    result = run("edges", tmp_path / "dot.png", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "2 x 2 pixels or more" in said(result)


@pytest.mark.parametrize("model", ["canny", "shearlet"])
def test_the_verb_labels_by_a_scan(tmp_path, model):
    scan = scan_file(tmp_path)
    shown = said(run("edges", picture(tmp_path), "--scan", scan, "--model", model, "--out", tmp_path / "out"))
    assert "The scan measured" in shown
    assert "undetermined" in shown


def test_the_verb_reads_a_reconstruction(tmp_path):
    assert run("reconstruct", scan_file(tmp_path), "--method", "tv", "--out", tmp_path / "result").exit_code == 0
    found = answer(run("edges", tmp_path / "result", "--model", "canny", "--out", tmp_path / "out", "--json"))
    assert found["provenance"]["measured"] > 0


def test_the_verb_takes_the_surround_off(tmp_path):
    given = ("edges", picture(tmp_path), "--model", "canny", "--out", tmp_path / "out", "--quiet")
    maps = []
    for option in ((), ("--surround", 8)):
        assert run(*given, *option).exit_code == 0
        with np.load(tmp_path / "out" / "edges.npz") as stored:
            maps.append(stored["edge_strength"])
    assert np.array_equal(maps[1], less_surround(maps[0], 8.0))


def refused(*arguments):
    result = run("edges", *arguments)
    assert result.exit_code != 0
    return said(result)


def test_a_picture_of_another_field_of_view_than_the_scans_is_refused(tmp_path):
    scan = scan_file(tmp_path)
    np.save(tmp_path / "photo.npy", np.random.default_rng(0).random((SIZE * 2, SIZE * 3)))
    shown = refused(tmp_path / "photo.npy", "--scan", scan, "--out", tmp_path / "out")
    assert f"as {SIZE} x {SIZE}" in shown
    assert f"got {2 * SIZE} x {3 * SIZE} pixels" in shown


@pytest.mark.parametrize("shape", [(2 * SIZE, 2 * SIZE), (2 * SIZE, 2 * SIZE + 1), (SIZE, SIZE)])
def test_what_is_assumed_of_a_picture_with_other_pixels_is_said(tmp_path, shape):
    np.save(tmp_path / "disc.npy", image([Ellipse(1.0, (24.0, 24.0))], ml.Grid(shape, 1.0)))
    given = (tmp_path / "disc.npy", "--scan", scan_file(tmp_path), "--model", "canny", "--out", tmp_path / "out")
    told = "taken to show the same field of view, 48 mm x 48 mm" in said(run("edges", *given))
    assert told == (shape != (SIZE, SIZE))


def test_a_scan_is_refused_as_a_picture(tmp_path):
    beam = ml.ParallelBeam(tuple(np.radians(np.arange(0, 120, 3.0))), ml.Detector(SIZE, 1.0))
    np.savez(tmp_path / "other.npz", data=sinogram([Ellipse(1.0, (12.0, 12.0))], beam).astype(np.float32))
    (tmp_path / "other.json").write_text(json.dumps(beam.to_dict()), encoding="utf-8")
    for scan in (scan_file(tmp_path), tmp_path / "other.npz"):
        shown = refused(scan, "--out", tmp_path / "out")
        assert "got a scan of 40 views" in shown
        assert "microlocal reconstruct" in shown
        assert "from_sinogram" in shown


def test_the_slice_of_a_stack_is_chosen_and_said(tmp_path):
    scan = scan_file(tmp_path, slices=3)
    assert run("reconstruct", scan, "--method", "fbp", "--out", tmp_path / "result").exit_code == 0
    stack = ml.read_result(tmp_path / "result")
    pages = stack.image.clone()
    pages[2] = 0
    replace(stack, image=pages).save(tmp_path / "result")
    given = ("edges", tmp_path / "result", "--model", "canny", "--out", tmp_path / "out")
    middle, last = answer(run(*given, "--json")), answer(run(*given, "--json", "--slice", 2))
    assert (middle["slice"], last["slice"]) == (1, 2)
    assert middle["edges"] > 60
    assert last["edges"] == 0
    assert "Slice 1 of 0 to 2." in said(run(*given))
    assert "--slice within 0..2" in refused(*given[1:], "--slice", 3)
    assert "Drop --slice" in refused(picture(tmp_path), "--slice", 0, "--out", tmp_path / "out")


def test_edges_in_the_air_are_left_out_and_the_network_is_warned_of(tmp_path):
    """A disc, and beside it another, which is not in the data."""
    plane = image([Ellipse(1.0, (30.0, 30.0)), Ellipse(1.0, (8.0, 8.0), (45.0, 45.0))], GRID)
    np.save(tmp_path / "disc.npy", plane.astype(np.float32))
    beam = ml.ParallelBeam(tuple(np.radians(np.arange(0, 150, 2.0))), ml.Detector(N, 1.0))
    data = sinogram([Ellipse(1.0, (30.0, 30.0))], beam)
    data += 0.005 * data.max() * np.random.default_rng(0).normal(size=data.shape)
    scan = ml.io.write_scan(ml.Scan(torch.from_numpy(data).float(), beam, GRID), tmp_path / "scan.npz")
    given = ("edges", tmp_path / "disc.npy", "--scan", scan, "--out", tmp_path / "out")
    found = answer(run(*given, "--model", "canny", "--json"))
    assert found["edges"] > 120
    with np.load(tmp_path / "out" / "edges.npz") as stored:
        assert np.hypot(stored["row"] - MIDDLE, stored["col"] - MIDDLE).max() < 34
    assert "in what the data show to be air" in found["notes"][0]
    assert "not on reconstructions" in said(run(*given, "--model", "network"))


def test_pictures_of_all_kinds_are_read_as_grey_planes(tmp_path):
    plane = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)
    np.save(tmp_path / "a.npy", plane)
    np.savez(tmp_path / "b.npz", image=plane, other=plane[0])
    ml.io.write_tiff(plane, tmp_path / "c.tif", 1.0, "mm")
    for name in ("a.npy", "b.npz", "c.tif"):
        assert np.array_equal(read_picture(tmp_path / name), plane)
    colours = np.zeros((4, 4, 3), dtype=np.uint8)
    colours[..., 1] = 255
    Image.fromarray(colours).save(tmp_path / "green.png")
    assert read_picture(tmp_path / "green.png") == pytest.approx(np.full((4, 4), 0.587), abs=1e-3)
    np.save(tmp_path / "d.npy", np.zeros((3, 5, 7)))
    tifffile.imwrite(tmp_path / "planes.tif", np.moveaxis(colours, -1, 0), photometric="rgb", planarconfig="separate")
    assert read_picture(tmp_path / "planes.tif") == pytest.approx(np.full((4, 4), 255 * 0.587), abs=1e-3)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for _ in range(3):
            file.write(plane)
    numbers = np.random.default_rng(0).permutation(256).astype(np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", colours[..., 0], photometric="palette", colormap=[numbers] * 3)
    for wrong in ("d.npy", "missing.png", "pages.tif", "palette.tif"):
        with pytest.raises(ScanFileError):
            read_picture(tmp_path / wrong)


def test_bright_is_large_in_every_picture(tmp_path):
    """Directions point to the bright side: 16 bits are not cut to 8, and a TIFF with 0 for white is turned over."""
    values = np.arange(30, dtype=np.uint16).reshape(5, 6) * 2000
    header = b"P5\n6 5\n65535\n"
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    assert np.array_equal(read_picture(tmp_path / "a.pgm"), values)
    tifffile.imwrite(tmp_path / "a.tif", 65535 - values, photometric="miniswhite")
    assert np.array_equal(read_picture(tmp_path / "a.tif"), values)
