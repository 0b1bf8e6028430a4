"""The page of a reconstruction: what is in it, that it is safe, small, whole, and never half-written."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_samples import NASTY, fan, parallel, reconstruction

from microlocal.core import Grid, OutputError, ParallelBeam, ShapeError
from microlocal.core.provenance import COLOURS, Provenance
from microlocal.core.registry import registered
from microlocal.reconstruction.verdict import WHY
from microlocal.report import coarse_views, figure, render_report, write_report
from microlocal.wavefront import find_edges
from microlocal.wavefront.lengths import edge_lengths, edge_shares

SECTIONS = ["edges", "images", "visibility", "data", "certificates", "record"]
VOID = {"meta", "link", "input", "img", "br", "line", "rect", "image", "circle", "path", "polyline", "polygon"}


class Outline(HTMLParser):
    """Collects elements, ids and texts of a page, and notices tags that do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.crossed: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def ids(self) -> list[str]:
        return [a["id"] or "" for _, a in self.elements if "id" in a]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def payload(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_the_arc_agrees_with_the_missing_wedge() -> None:
    """61 views of half a degree cover 30.5 degrees, not 31, where 149.5 are missing."""
    half = replace(fan(), angles_rad=tuple(math.radians(269 + 0.5 * k) for k in range(61)))
    assert "Arc 30.5° of 360°" in Outline(render_report(reconstruction(half))).words()


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(reconstruction(learned=True), compare=[reconstruction(method="fbp", blur=0.2)])


def test_sections_come_in_order_and_tags_close(page: str) -> None:
    outline = Outline(page)
    assert [i for i in outline.ids() if i in SECTIONS] == SECTIONS
    assert outline.crossed == []
    assert outline.open == []
    assert len(outline.ids()) == len(set(outline.ids()))


def test_words_that_a_reader_looks_for(page: str) -> None:
    words = Outline(page).words()
    for expected in (
        NASTY,
        "At the centre of the image this scan measures 50 % of all edge directions.",
        "−1° to 89°",
        "3 dead pixels <were> interpolated.",
        "hold-out error",
        "The residual is <noise>.",
        "autocorrelation 0.4",
        "40 numbers, 0 … 39",
        "Rudin et al. 1992",
        "Morozov 1966",
        "ab" * 32,
        "unknown-key",
        torch.__version__,
    ):
        assert expected in words, expected
    assert "/home/someone" not in page


def test_certificates_show_their_kind_and_whether_they_hold(page: str) -> None:
    words = Outline(page).words()
    row = words[words.index("The residual is <noise>.") :][:220]
    assert "estimated" in row
    assert "0.5" in row
    assert "✗ no" in row


def test_nothing_of_the_file_becomes_markup(page: str) -> None:
    tags = [tag for tag, _ in Outline(page).elements]
    assert tags.count("script") == 2
    assert "b" not in tags
    assert all("onerror" not in attributes for _, attributes in Outline(page).elements)


def test_the_policy_names_the_script_and_forbids_the_rest(page: str) -> None:
    script = page[page.rindex("<script>") + 8 : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] or "" for t, a in Outline(page).elements if a.get("http-equiv"))
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert {a["href"] for t, a in Outline(page).elements if t == "link"} == {"data:,"}


def test_payload_decodes_to_the_image_within_half_a_step(page: str) -> None:
    truth = reconstruction(learned=True)
    layer = payload(page)["layers"][0]
    raw = np.frombuffer(base64.b64decode(layer["samples"][0]), "<u2").reshape(64, 64)
    values = layer["low"] + raw * (layer["high"] - layer["low"]) / 65535
    step = (layer["high"] - layer["low"]) / 65535
    assert np.abs(values - truth.image.numpy()).max() <= 0.51 * step
    packed = np.frombuffer(base64.b64decode(layer["edges"][0]), np.uint8)
    codes = ((packed[:, None] >> np.array([0, 2, 4, 6])) & 3).reshape(64, 64)
    assert np.array_equal(codes, reconstruction(learned=True).edges.numpy())
    assert (layer["left"], layer["top"], layer["pixel"]) == (-32.0, 32.0, 1.0)


def test_learned_edges_get_their_own_switch_only_when_there_are_some(page: str) -> None:
    switches = [a.get("data-edges") for t, a in Outline(page).elements if t == "input" and "data-edges" in a]
    assert switches == ["1", "2", "3"]
    plain = Outline(render_report(reconstruction()))
    assert [a["data-edges"] for t, a in plain.elements if "data-edges" in a] == ["1", "3"]


def test_the_image_without_the_learned_part_is_there_to_be_blended(page: str) -> None:
    truth, layer = reconstruction(learned=True), payload(page)["layers"][0]
    raw = np.frombuffer(base64.b64decode(layer["visible"][0]), "<u2").reshape(64, 64)
    values = layer["low"] + raw * (layer["high"] - layer["low"]) / 65535
    assert np.abs(values - truth.visible.numpy()).max() <= 0.51 * (layer["high"] - layer["low"]) / 65535
    assert layer["lengthsVisible"][0]["2"] == 0.0
    assert layer["lengths"][0]["2"] == pytest.approx(edge_lengths(truth.edges.numpy())[Provenance.LEARNED])
    assert "visible" not in payload(page)["layers"][1]
    sliders = [a for t, a in Outline(page).elements if t == "input" and a.get("id") == "blend"]
    assert [a["max"] for a in sliders] == ["100"]
    assert not [a for _, a in Outline(render_report(reconstruction())).elements if a.get("id") == "blend"]


def test_one_sentence_says_what_was_learned_and_why(page: str) -> None:
    words = Outline(page).words()
    size = float(reconstruction(learned=True).learned.norm() / reconstruction(learned=True).image.norm())
    share = edge_shares(reconstruction(learned=True).edges.numpy())[Provenance.LEARNED]
    said = "The network <tiny> completed the image: the scan is like those it was trained on; what it added amounts to"
    assert f"{said} {100 * size:.0f} % of the image and draws {100 * share:.0f} % of the edges." in words
    refused = reconstruction(config={WHY: "No network was used, for this scan is unlike those trained on."})
    assert "No network was used, for this scan is unlike those" in Outline(render_report(refused)).words()


def test_the_promise_not_to_contradict_the_data_stands_under_the_picture(page: str) -> None:
    words = Outline(page).words()
    assert "The learned part does not contradict the measurement." in words
    assert "is 2.1 % larger than without; up to 5 % larger is allowed" in words
    broken = replace(reconstruction(learned=True).certificates[-1], value=0.3)
    words = Outline(render_report(reconstruction(learned=True, certificates=(broken,)))).words()
    assert "The learned part contradicts the measurement." in words


def test_lengths_of_edges_do_not_depend_on_their_direction() -> None:
    """A disc's outline has the length of its perimeter, give or take the staircase; halves share it."""
    x, y = np.meshgrid(np.arange(200) - 99.5, np.arange(200) - 99.5)
    ring = find_edges(torch.from_numpy((np.hypot(x, y) < 80).astype(float))).mask
    codes = ring.astype(np.uint8) * np.where(x < 0, 1, 3).astype(np.uint8)
    lengths = edge_lengths(codes)
    assert sum(lengths.values()) == pytest.approx(2 * np.pi * 80, rel=0.08)
    assert lengths[Provenance.MEASURED] == pytest.approx(lengths[Provenance.UNDETERMINED], rel=0.02)
    assert lengths[Provenance.LEARNED] == 0.0
    line = np.zeros((40, 40), np.uint8)
    line[20, 5:35] = 2
    assert edge_lengths(np.stack([line, line.T]))[Provenance.LEARNED] == 2 * 29.0


# Machado, Oliveira and Fernandes (2009), for vision without one kind of cone, on linear RGB.
VISION = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def _lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_the_three_colours_are_told_apart_by_every_eye(vision: str) -> None:
    rgb = [np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) / 255 for colour in COLOURS.values()]
    seen = [_lab(VISION[vision] @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)) for c in rgb]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 40


def test_swiping_needs_two_images() -> None:
    alone = Outline(render_report(reconstruction(fan())))
    assert not [a for _, a in alone.elements if a.get("class") == "divider"]
    assert "In a fan beam" in alone.words()


def test_the_residual_of_an_iteration_is_not_called_that_of_the_data(page: str) -> None:
    words = Outline(page).words()
    assert "Residual of the iteration (logarithmic)" in words
    assert "Gain" in words


def test_a_stack_has_a_slice_control_and_a_long_one_says_what_it_leaves_out() -> None:
    page = render_report(reconstruction(slices=3))
    sliders = [a for _, a in Outline(page).elements if a.get("class") == "slice"]
    assert [a["max"] for a in sliders] == ["2", "2", "2"]
    assert payload(page)["slices"] == [0, 1, 2]
    long = render_report(reconstruction(slices=40, size=32))
    assert "The page holds 16 of the 40 slices" in Outline(long).words()
    assert payload(long)["slices"][-1] == 39


def test_two_runs_of_one_method_are_told_apart() -> None:
    page = render_report(reconstruction(), compare=[reconstruction(blur=0.1)])
    assert [layer["label"] for layer in payload(page)["layers"]] == ["tv", "tv (2)"]


def test_numbers_that_are_not_finite_do_not_break_the_page() -> None:
    metrics = {"seconds": float("nan"), "psnr": float("inf")}
    image = reconstruction().image.clone()
    image[0, 0] = float("nan")
    page = render_report(reconstruction(metrics=metrics, history={"loss": [1.0, float("nan"), 0.1]}, image=image))
    assert "∞" in page
    assert payload(page)["layers"][0]["low"] == 0.0


def test_bare_results_are_written_too() -> None:
    empty = torch.zeros(64, 64)
    still = reconstruction(
        certificates=(),
        history={},
        metrics={},
        config={},
        notes=(),
        references=(),
        image=empty,
        name="",
        edges=empty.to(torch.uint8),
        residual=torch.zeros(45, 70),
    )
    words = Outline(render_report(still)).words()
    assert "No edge was found" in words
    assert "came without certificates" in words


def test_a_full_turn_leaves_nothing_unseen() -> None:
    seen = reconstruction(parallel(180.0))
    seen.edges[seen.edges > 0] = int(Provenance.MEASURED)
    words = Outline(render_report(seen)).words()
    assert "No part of the 180° is missing." in words
    assert "every edge is determined by the data" in words
    assert "Of the length of all edges found, 100 % are measured." in words
    assert "apart" not in words


def test_few_views_are_cautioned_of_although_they_leave_no_gap() -> None:
    few = ParallelBeam(tuple(math.radians(a) for a in np.arange(0.0, 180.0, 22.5)), parallel().detector)
    words = Outline(render_report(reconstruction(few))).words()
    assert "The views are up to 22.5° apart." in words
    assert "finer than about 13 mm" in words  # 32 mm, half the image, times the step
    assert "as far as the steps between the views allow" in words
    gap = ParallelBeam(tuple(math.radians(a) for a in [*range(0, 60), *range(120, 180)]), parallel().detector)
    assert coarse_views(gap, reconstruction().scan.grid) == ""  # a gap is missing, not coarse


def test_a_report_of_three_512_images_stays_below_five_megabytes(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    noisy = [reconstruction(fan(), size=512, method=m) for m in ("shearlet", "tv", "fbp")]
    noisy = [
        reconstruction(fan(), size=512, method=r.method, image=torch.rand(512, 512, generator=draw)) for r in noisy
    ]
    path = write_report(noisy[0], tmp_path / "deep" / "report.html", compare=noisy[1:])
    assert 1e6 < path.stat().st_size < 5e6


def test_an_image_off_its_grid_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected an image on its scan's grid \(\*batch, 64, 64\).* got \(60, 64\)"):
        render_report(reconstruction(image=torch.zeros(60, 64)))


def test_stacks_of_different_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="same number of slices"):
        render_report(reconstruction(), compare=[reconstruction(slices=2)])


def test_unwritable_places_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken")
    with pytest.raises(OutputError, match="report"):
        write_report(reconstruction(), tmp_path / "file" / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError):
        write_report(reconstruction(), tmp_path / "report.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "report.html"]


def test_the_writer_is_registered(tmp_path: Path) -> None:
    written = registered("result-writer")["report.html"].member(reconstruction(), tmp_path)
    assert written == tmp_path / "report.html"
    assert written.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("geometry", [parallel(), fan()], ids=["parallel", "fan"])
def test_figure_has_its_four_panels(geometry: Any, tmp_path: Path) -> None:
    drawn = figure(reconstruction(geometry, slices=2), slice_index=1)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    assert [t.split("\n")[0].split(":")[0] for t in titles] == [
        "Reconstruction",
        "Edges by provenance",
        "Edge normals in the middle of the image",
        "Residual R f − g",
    ]
    drawn.savefig(tmp_path / "figure.png", dpi=40)
    assert "slice 1" in drawn.get_suptitle()


def test_figure_of_a_learned_result_shows_what_was_there_before() -> None:
    drawn = figure(reconstruction(learned=True))
    panels = {axes.get_title(): axes for axes in drawn.axes}
    shown = panels["Measured only, f*"].images[0].get_array() + panels["Learned part, f − f*"].images[0].get_array()
    assert np.allclose(shown, panels["Reconstruction"].images[0].get_array(), atol=1e-6)
    names = [text.get_text().split()[0] for text in panels["Edges by provenance"].get_legend().get_texts()]
    assert names == ["measured", "learned", "undetermined"]


def test_the_legend_of_the_edges_lies_beside_the_image_and_the_bar_is_as_high_as_it() -> None:
    drawn = figure(reconstruction(learned=True))
    drawn.canvas.draw()
    panels = {axes.get_title(): axes for axes in drawn.axes}
    box = panels["Edges by provenance"].get_window_extent()
    assert panels["Edges by provenance"].get_legend().get_window_extent().y1 < box.y0
    image = panels["Reconstruction"]
    bar = image.child_axes[0].get_window_extent()
    assert (bar.y0, bar.y1) == pytest.approx((image.get_window_extent().y0, image.get_window_extent().y1), abs=1)


def test_figure_refuses_a_slice_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"expected slice 0..0, got 1"):
        figure(reconstruction(), slice_index=1)


def test_large_images_are_averaged_in_blocks() -> None:
    wide = reconstruction(size=64)
    grid = Grid((64, 2048), 1.0)
    zeros = torch.zeros(grid.shape, dtype=torch.uint8)
    edges = zeros.clone()
    edges[3, 5] = 3
    assert edge_shares(edges.numpy()) == {1: 0.0, 2: 0.0, 3: 1.0}
    scan = type(wide.scan)(wide.scan.data, wide.scan.geometry, grid)
    page = render_report(reconstruction(image=torch.ones(grid.shape), scan=scan, edges=edges, provenance=zeros))
    layer = payload(page)["layers"][0]
    assert (layer["rows"], layer["cols"], layer["pixel"], layer["left"]) == (32, 1024, 2.0, -1024.0)
    packed = np.frombuffer(base64.b64decode(layer["edges"][0]), np.uint8)
    assert (packed > 0).sum() == 1
