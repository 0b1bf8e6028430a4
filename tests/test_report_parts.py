"""The pieces of the report: numbers, axes, roses, sinogram axes, PNGs, the bibliography."""

import math
import re
import struct
import zlib

import numpy as np
import pytest
from report_samples import fan, parallel

from microlocal.core import Detector, ParallelBeam, UnknownNameError
from microlocal.core.references import REFERENCES, bibtex, citation
from microlocal.report.encode import palette_png, script_json, shrink
from microlocal.report.rose import in_words, missing_range, share, visibility_rose
from microlocal.report.sinogram import COLUMNS, folds_back, spread, view_axis
from microlocal.report.stack_charts import line_chart, slice_axis
from microlocal.report.svg import Axis, Frame, axis_over, number, round_step
from microlocal.wavefront import measured_range


def test_png_holds_its_palette_and_pixels() -> None:
    index = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    palette = np.arange(1024, dtype=np.uint32).astype(np.uint8).reshape(256, 4)
    png = palette_png(index, palette)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (5, 7)
    start = png.index(b"IDAT")
    size = struct.unpack(">I", png[start - 4 : start])[0]
    lines = np.frombuffer(zlib.decompress(png[start + 4 : start + 4 + size]), np.uint8).reshape(7, 6)
    assert np.array_equal(np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8), index)
    assert (lines[:, 0] == 2).all()


def test_json_cannot_leave_its_tag() -> None:
    text = script_json({"</script>": ["<!--", "&", math.inf]})
    assert not set("<>&") & set(text)


def test_shrinking_keeps_the_mean_and_the_greatest_code() -> None:
    image = np.arange(16.0).reshape(4, 4)
    assert shrink(image, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shrink(image, 2, largest=True).tolist() == [[5.0, 7.0], [13.0, 15.0]]
    assert shrink(image, 4) is image


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (12345.6, "12346"), (-1.5e-7, "−1.5·10⁻⁷"), (2e9, "2·10⁹"), (math.nan, "–"), (-math.inf, "−∞")],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert number(value) == text


def test_axes_have_round_ticks_inside() -> None:
    assert [text for _, text in Axis(-0.33, 1.2).ticks()] == ["0", "0.5", "1"]
    places = [place for place, _ in Axis(0.002, 3.0, log=True).ticks()]
    assert len(places) >= 3
    assert all(0 <= place <= 1 for place in places)
    assert len(Axis(0.011, 0.013, log=True).ticks()) >= 3
    assert round_step(3.0) == 5.0
    constant = axis_over(np.full(3, 2.0), "flat", log=True)
    assert constant.low < 2.0 < constant.high


def test_a_stack_of_one_slice_has_a_line_and_whole_ticks() -> None:
    drawn = line_chart(np.array([7.0]), np.array([0.3]), "residual")
    (points,) = re.findall(r'<polyline class="series s0" points="([^"]*)"', drawn)
    (left, _), (right, _) = (pair.split(",") for pair in points.split())
    assert float(right) - float(left) > 100
    assert [text for _, text in slice_axis(np.array([7.0])).ticks()] == ["7"]
    assert [text for _, text in slice_axis(np.array([0.0, 3.0])).ticks()] == ["0", "1", "2", "3"]


def test_charts_escape_their_words() -> None:
    svg = Frame(Axis(0, 1, "<x>"), Axis(0, 1), '"><script>').draw(Frame(Axis(0, 1), Axis(0, 1), "").rectangle("a"))
    assert "<script>" not in svg
    assert "&lt;x&gt;" in svg


def test_missing_range_is_the_complement() -> None:
    measured = [(math.radians(10), math.radians(40)), (math.radians(100), math.radians(190))]
    missing = missing_range(measured)
    assert share(measured) + share(missing) == pytest.approx(1)
    assert [(round(math.degrees(a)), round(math.degrees(b))) for a, b in missing] == [(40, 100)]
    assert missing_range([]) == [(0.0, math.pi)]
    assert missing_range([(0.0, math.pi)]) == []


def test_ranges_in_words() -> None:
    assert in_words([]) == "none"
    assert in_words([(0.0, math.pi)]) == "all"
    assert in_words([(math.radians(30), math.radians(60))]) == "30° to 60°"
    assert in_words([(math.radians(110), math.radians(250))]) == "−70° to 70°"


@pytest.mark.parametrize("geometry", [parallel(), fan()], ids=["parallel", "fan"])
def test_rose_says_what_it_draws(geometry: ParallelBeam) -> None:
    svg = visibility_rose(geometry, 0.0, 0.0)
    assert in_words(measured_range(geometry, 0.0, 0.0)) in svg
    assert svg.count('class="fill-measured"') == 2
    assert svg.count('class="fill-undetermined"') == 2


def test_axis_of_views_lies_where_the_views_are() -> None:
    tilt = ParallelBeam(tuple(np.radians(np.arange(-70.0, 71.0, 2.0))), Detector(9, 1.0))
    axis = view_axis(tilt)
    assert (axis.start, axis.period) == (-90.0, 180.0)
    assert axis.missing == pytest.approx(38, abs=1e-5)
    assert not axis.folded.any()
    wide = view_axis(fan())
    assert (wide.start, wide.period) == (0.0, 360.0)
    assert wide.missing == pytest.approx(240, abs=1e-5)


@pytest.mark.parametrize(
    ("first", "last", "missing"),
    [(0, 180, 0), (-30, 30, 119), (150, 210, 119), (0, 400, 0), (-200, 20, 0), (3, 170, 12)],
)
def test_missing_views_are_counted_modulo_half_a_turn(first: int, last: int, missing: float) -> None:
    """Views of one degree reach half of one beyond both ends: n steps leave 180 - n - 1 degrees open."""
    beam = ParallelBeam(tuple(np.radians(np.arange(first, last + 1.0))), Detector(9, 1.0))
    assert view_axis(beam).missing == pytest.approx(missing, abs=1e-5)


def test_where_nothing_is_missing_nothing_is_hatched() -> None:
    """Views 0 to 177 in steps of 3: half a step before the first one is half a step before 180, mirrored."""
    beam = ParallelBeam(tuple(np.radians(np.arange(0.0, 180.0, 3.0))), Detector(9, 1.0))
    axis = view_axis(beam)
    assert axis.missing == 0
    assert not folds_back(beam, axis)
    assert (axis.view >= 0).all()
    assert (axis.view[-2], axis.folded[-2]) == (0, True)


def test_views_beyond_half_a_turn_fold_back_mirrored() -> None:
    beam = ParallelBeam(tuple(np.radians(np.arange(100.0, 260.0, 1.0))), Detector(11, 1.0, offset=0.5))
    phi, s = beam.lines()
    data = s * np.cos(phi - 1.0)  # (φ, s) and (φ + π, -s) are one line and get one value
    axis = view_axis(beam)
    picture = spread(data, beam, axis)
    assert axis.folded.any()
    assert folds_back(beam, axis)
    for column in (30, 200, 400):
        t = np.radians(axis.start + (column + 0.5) * axis.period / COLUMNS)
        if axis.view[column] < 0:
            assert np.isnan(picture[:, column]).all()
            continue
        rows = np.isfinite(picture[:, column])
        low, high = beam.detector.edges
        u = high - (np.arange(rows.size) + 0.5) / rows.size * (high - low)
        inner = rows & (np.abs(u) < 4)
        assert np.allclose(picture[inner, column], u[inner] * np.cos(t - 1.0), atol=0.1)
        assert inner.sum() >= 6


def test_every_entry_of_the_bibliography_is_whole() -> None:
    for key, entry in REFERENCES.items():
        assert entry.startswith("@")
        assert f"{{{key},\n" in entry
        assert entry.count("{") == entry.count("}")
        assert key[-4:] in citation(key)
        assert "{" not in citation(key)
    assert bibtex(["otsu1979", "beck2009", "otsu1979"]).split("\n\n") == [
        REFERENCES["beck2009"],
        REFERENCES["otsu1979"],
    ]


def test_unknown_citations_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="joseph1982"):
        citation("joseph1928")
