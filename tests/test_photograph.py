"""Pictures come back as they were: format, type, colours, opacity, pages; what is no picture is refused by name."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scan_files import without_photometric

from microlocal.core.errors import InputError, ScanFileError
from microlocal.io.photograph import in_type, read_photograph, write_photograph
from microlocal.io.picture import LUMA, read_picture
from microlocal.io.png16 import png_bytes
from microlocal.io.tiff import meaning_of
from microlocal.training.folder import slices_of

KINDS = ("uint8", "uint16", "int16", "uint32", "float16", "float32", "float64")
SHAPES = {
    "grey": (9, 8),
    "pages": (5, 9, 8),
    "colours": (9, 8, 3),
    "opacity": (9, 8, 4),
    "pages of colours": (2, 9, 8, 3),
}


def some(shape, kind="uint8"):
    values = np.random.default_rng(0).random(shape)
    return (values * (np.iinfo(kind).max if np.dtype(kind).kind in "iu" else 1)).astype(kind)


def again(path, folder):
    picture = read_photograph(path)
    return picture, write_photograph(picture, picture.values, folder / f"again{path.suffix}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_npy_and_tiff_come_back_exactly(tmp_path, kind, shape):
    array = some(shape, kind)
    np.save(tmp_path / "a.npy", array)
    photometric = "rgb" if shape[-1] in (3, 4) else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric, resolution=(3, 3))
    for name, load in (("a.npy", np.load), ("a.tif", tifffile.imread)):
        picture, path = again(tmp_path / name, tmp_path)
        back = load(path)
        assert back.dtype == array.dtype
        assert np.array_equal(back, array)
        assert picture.values.shape[-2:] == (9, 8)
        assert picture.values.shape[1] == (3 if shape[-1] in (3, 4) else 1)
    with tifffile.TiffFile(tmp_path / "again.tif") as file:
        assert file.pages[0].tags["XResolution"].value == (3, 1)


def test_pages_that_were_written_one_by_one_are_all_kept(tmp_path):
    """tifffile counts each as a series of its own."""
    array = some((3, 9, 8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in array:
            file.write(page)
    picture, path = again(tmp_path / "a.tif", tmp_path)
    assert picture.paged
    assert np.array_equal(tifffile.imread(path), array)


def test_a_small_copy_of_the_picture_is_no_second_picture(tmp_path):
    array = some((20, 18))
    for kind in (0, 1):
        with tifffile.TiffWriter(tmp_path / f"{kind}.tif") as file:
            file.write(array, metadata=None)
            file.write(array[:7, :7], subfiletype=kind, metadata=None)
    assert np.array_equal(read_photograph(tmp_path / "1.tif").values[0, 0], array)
    with pytest.raises(ScanFileError, match="pages of one size"):
        read_photograph(tmp_path / "0.tif")


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3), (9, 8, 4), (9, 8, 2)])
def test_png_of_8_bits_come_back_exactly(tmp_path, shape):
    array = some(shape)
    Image.fromarray(array).save(tmp_path / "a.png", dpi=(300, 300))
    _, path = again(tmp_path / "a.png", tmp_path)
    with Image.open(path) as back:
        assert np.array_equal(np.asarray(back), array)
        assert back.info["dpi"][0] == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3), (9, 8, 4)])
def test_png_of_16_bits_keep_all_of_them(tmp_path, shape):
    array = some(shape, "uint16")
    if len(shape) == 2:
        Image.fromarray(array).save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(png_bytes(array))
    picture, path = again(tmp_path / "a.png", tmp_path)
    assert picture.kind == np.uint16
    assert np.array_equal(picture.values[0], array[None] if len(shape) == 2 else np.moveaxis(array[..., :3], -1, 0))
    assert path.read_bytes() == (tmp_path / "a.png").read_bytes() or len(shape) == 2
    assert np.array_equal(read_photograph(path).values, picture.values)


@pytest.mark.parametrize(
    ("written", "meant"), [("minisblack", "minisblack"), ("miniswhite", "minisblack"), ("rgb", "rgb")]
)
def test_a_tiff_that_does_not_say_what_its_numbers_mean_is_dark_where_it_is_zero(tmp_path, written, meant):
    """TIFF 6.0 has no default for the tag, and detectors leave it out; with it, zero may be white."""
    array = some((9, 7, 3) if written == "rgb" else (9, 7), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=written)
    assert read_photograph(tmp_path / "a.tif").negative == (written == "miniswhite")
    picture = read_photograph(without_photometric(tmp_path / "a.tif"))
    assert picture.more["photometric"] == meant
    assert not picture.negative
    assert np.array_equal(np.moveaxis(picture.values[0], 0, -1).squeeze(), array)
    assert np.allclose(read_picture(tmp_path / "a.tif"), array if written != "rgb" else array @ LUMA, rtol=1e-6)
    _, path = again(tmp_path / "a.tif", tmp_path)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags["PhotometricInterpretation"].value.name.lower() == meant
    seen = slices_of(tmp_path / "a.tif")[0].numpy()
    assert np.corrcoef(seen.ravel(), read_picture(tmp_path / "a.tif").ravel())[0, 1] > 0.999


def test_zero_is_the_paper_of_a_fax(tmp_path):
    Image.fromarray(np.eye(9, dtype=bool)).save(tmp_path / "fax.tif", compression="group4")
    with tifffile.TiffFile(without_photometric(tmp_path / "fax.tif")) as file:
        assert meaning_of(file.pages[0]) == "miniswhite"


def test_jpeg_planes_stored_apart_and_palettes(tmp_path):
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(3, 32, 32)
    colours = np.moveaxis(smooth, 0, -1).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.jpg", quality=95)
    picture, path = again(tmp_path / "a.jpg", tmp_path)
    assert picture.values.shape == (1, 3, 32, 32)
    assert np.abs(read_photograph(path).values - picture.values).max() < 12
    tifffile.imwrite(tmp_path / "a.tif", smooth.astype(np.uint8), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_photograph(tmp_path / "a.tif").values[0], smooth.astype(np.uint8))
    Image.fromarray(colours).quantize(16).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png").values.shape == (1, 3, 32, 32)


def test_integers_are_rounded_and_clipped(tmp_path):
    np.save(tmp_path / "a.npy", some((4, 4)))
    picture = read_photograph(tmp_path / "a.npy")
    values = np.full((1, 1, 4, 4), 99.6)
    values[0, 0, 0] = [-20, 300, 0.4, 254.5]
    back = np.load(write_photograph(picture, values, tmp_path / "b.npy"))
    assert back[0].tolist() == [0, 255, 0, 254]
    assert int(back[1, 0]) == 100


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "no such file"), (".", "a folder"), ("empty.png", "an empty file"), ("text.png", "begins with"),
        ("nan.npy", "not finite"), ("small.npy", "at least 4 x 4"), ("inks.jpg", "inks"),
        ("bits.png", "black and white"), ("complex.npy", "complex"), ("five.npy", "shape"),
        ("palette.tif", "palette"), ("cut.png", "complete PNG"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name(tmp_path, name, said):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"hello there")
    np.save(tmp_path / "nan.npy", np.full((5, 5), np.nan))
    np.save(tmp_path / "small.npy", np.zeros((3, 9)))
    np.save(tmp_path / "complex.npy", np.zeros((9, 9), dtype=complex))
    np.save(tmp_path / "five.npy", np.zeros((2, 2, 9, 9, 2)))
    Image.fromarray(some((9, 9, 4)), mode=None).convert("CMYK").save(tmp_path / "inks.jpg")
    Image.fromarray(some((9, 9))).convert("1").save(tmp_path / "bits.png")
    tifffile.imwrite(
        tmp_path / "palette.tif", some((9, 9)), photometric="palette", colormap=np.zeros((3, 256), np.uint16)
    )
    Image.fromarray(some((64, 64))).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    with pytest.raises(ScanFileError, match=said) as caught:
        read_photograph(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("form", ["png", "png16", "jpg", "tif", "npy"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path, form, data):
    path = tmp_path / "good"
    if not path.exists():
        if form == "npy":
            path.write_bytes(b"")
            with path.open("wb") as stream:
                np.save(stream, some((9, 8)))
        elif form == "png16":
            path.write_bytes(png_bytes(some((9, 8, 3), "uint16")))
        elif form == "tif":
            tifffile.imwrite(path, some((2, 9, 8)), photometric="minisblack")
        else:
            Image.fromarray(some((16, 16, 3))).save(path, format="JPEG" if form == "jpg" else "PNG")
    good = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=6)):
        good[place] = data.draw(st.integers(0, 255))
    (tmp_path / "bad").write_bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        read_photograph(tmp_path / "bad")
    except InputError:
        return


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_the_brightest_value_of_every_type_stays_the_brightest(tmp_path, kind):
    # 2**63 - 1 is no float64, and what it is rounded to no int64: white came back as black.
    limits = np.iinfo(kind)
    array = np.full((5, 6), 7, kind)
    array[0, :2] = limits.max, limits.min
    np.save(tmp_path / "a.npy", array)
    picture = read_photograph(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(write_photograph(picture, picture.values, tmp_path / "b.npy")), array)
    beyond = in_type(np.array([1e30, -1e30, np.inf, -np.inf]), np.dtype(kind))
    assert beyond.tolist() == [limits.max, limits.min] * 2
