"""``microlocal denoise``: formats kept, colours, stacks, noise levels, certificates, what goes wrong."""

import base64
import io
import json
import re

import numpy as np
import pytest
import tifffile
import torch
from cli_help import answer, run, said
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_weights import tiny_denoiser

from microlocal.cli import lazy
from microlocal.core.errors import UnknownNameError
from microlocal.core.seeding import generator
from microlocal.io.png16 import png_bytes
from microlocal.networks.symmetric_block import SymmetricBlock
from microlocal.networks.weights import shipped_weights
from microlocal.reconstruction.images.colours import denoise_pages, from_opponents, in_opponents
from microlocal.reconstruction.images.models import denoiser_of, denoisers
from microlocal.reconstruction.images.trial import cartoon

SIZE = 40
FILES = ["denoised", "removed.png", "certificate.json", "report.html"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_denoiser(tmp_path_factory.mktemp("weights") / "tiny")


def picture(scale=160.0, noise=10.0, channels=1, pages=1):
    """A drawing in a unit of its own with white noise, (page, row, col, channel)."""
    tint = torch.linspace(1.0, 0.6, channels)
    clean = 40 + scale * cartoon(SIZE)[None, :, :, None] / 1.4 * tint
    return (clean + noise * torch.randn(pages, SIZE, SIZE, channels, generator=generator(0))).numpy()


def stored(folder, name, kind, channels=1, pages=1):
    """Write the picture as a file; return its path and the array in it."""
    factor = 257 if kind == "uint16" else 1
    array = factor * picture(channels=channels, pages=pages)
    array = np.clip(np.rint(array), 0, np.iinfo(kind).max).astype(kind) if kind.startswith("u") else array.astype(kind)
    array = array[..., 0] if channels == 1 else array
    array = array if pages > 1 else array[0]
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="rgb" if channels > 1 else "minisblack")
    elif kind == "uint16" and channels > 1:
        path.write_bytes(png_bytes(array))
    else:
        Image.fromarray(array).save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))
    return path, array


def loaded(path):
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return (
        np.moveaxis(lazy.io.read_photograph(path).values[0], 0, -1)
        .squeeze()
        .astype("uint16" if lazy.io.read_photograph(path).kind == "uint16" else "uint8")
    )


@pytest.mark.parametrize(
    ("name", "kind", "channels", "pages"),
    [
        ("a.png", "uint8", 1, 1), ("a.png", "uint8", 3, 1), ("a.png", "uint16", 1, 1), ("a.png", "uint16", 3, 1),
        ("a.jpg", "uint8", 3, 1), ("a.tif", "uint8", 1, 3), ("a.tif", "uint16", 3, 1), ("a.tif", "float32", 1, 2),
        ("a.npy", "float64", 1, 1), ("a.npy", "uint8", 3, 2),
    ],
)  # fmt: skip
def test_the_file_keeps_its_format_and_loses_its_noise(tmp_path, weights, name, kind, channels, pages):
    path, array = stored(tmp_path, name, kind, channels, pages)
    told = answer(run("denoise", path, "--weights", weights, "--out", tmp_path / "out", "--json"))
    (one,) = told["images"]
    assert [file.rsplit("/", 1)[-1] for file in one["files"]] == [f"denoised{path.suffix}", *FILES[1:]]
    after = loaded(tmp_path / "out" / f"denoised{path.suffix}")
    assert after.shape == array.shape
    assert after.dtype == array.dtype
    unit = 257 if kind == "uint16" else 1
    clean = picture(noise=0, channels=channels, pages=pages).reshape(array.shape) * unit
    assert np.linalg.norm(after - clean) < 0.85 * np.linalg.norm(array.astype(float) - clean)
    assert one["noise"] == pytest.approx(10 * unit, rel=0.25)
    assert one["noise_is"] == "estimated"
    assert all(c["holds"] and c["value"] <= c["bound"] for c in one["certificates"])
    assert len(one["certificates"]) == 3
    assert any("JPEG" in note for note in one["notes"]) == (path.suffix == ".jpg")


def test_opacity_is_kept(tmp_path, weights):
    array = np.clip(picture(channels=4)[0], 0, 255).astype(np.uint8)
    array[..., 3] = np.arange(SIZE)[:, None]
    Image.fromarray(array).save(tmp_path / "a.png")
    assert run("denoise", tmp_path / "a.png", "--weights", weights, "--out", tmp_path).exit_code == 0
    after = np.asarray(Image.open(tmp_path / "denoised.png"))
    assert np.array_equal(after[..., 3], array[..., 3])
    assert not np.array_equal(after[..., 0], array[..., 0])


def test_what_is_written_agrees_with_itself(tmp_path, weights):
    path, array = stored(tmp_path, "a.tif", "float32", pages=3)
    assert run("denoise", path, "--weights", weights, "--sigma", 10, "--out", tmp_path / "out").exit_code == 0
    after = tifffile.imread(tmp_path / "out" / "denoised.tif")
    told = json.loads((tmp_path / "out" / "certificate.json").read_text())
    growth = [np.linalg.norm(v - u.mean()) / np.linalg.norm(u - u.mean())
              for u, v in zip(array.astype(float), after.astype(float), strict=True)]  # fmt: skip
    assert told["certificates"][0]["value"] == pytest.approx(max(growth), rel=1e-5)
    assert told["removed"]["std"] == pytest.approx((array[1] - after[1]).std(), rel=1e-4)
    assert (told["noise"], told["noise_is"], told["removed"]["page"]) == (10.0, "given", 1)
    assert told["weights"]["trained on"]["ranges"]
    assert "Page 2 of 3" in (tmp_path / "out" / "report.html").read_text()
    with Image.open(tmp_path / "out" / "removed.png") as removed:
        assert np.asarray(removed).mean() == pytest.approx(128, abs=2)


def test_the_page_holds_everything_and_escapes_names(tmp_path, weights):
    path, _ = stored(tmp_path, "<b>a & b.png", "uint8", 3)
    run("denoise", path, "--weights", weights, "--out", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;a &amp; b.png" in page
    assert "<b>a" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    for word in ("Before and after", "What was removed", "Nothing grows", "leaves", "luminance"):
        assert word in page


def test_the_page_shows_a_picture_whose_zero_is_white_as_it_is_seen(tmp_path, weights):
    seen = picture()[0, ..., 0].astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", 255 - seen, photometric="miniswhite")
    assert run("denoise", tmp_path / "a.tif", "--weights", weights, "--out", tmp_path / "out").exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    found = re.search(r"as it came\" src=\"data:image/png;base64,([^\"]+)", page)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1])))), seen)


@pytest.mark.parametrize("model", ["tv", "shearlet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_models_without_a_network(tmp_path, model, channels):
    path, array = stored(tmp_path, "a.png", "uint8", channels)
    (one,) = answer(run("denoise", path, "--model", model, "--out", tmp_path, "--json"))["images"]
    clean = picture(noise=0, channels=channels).reshape(array.shape)
    after = loaded(tmp_path / "denoised.png").astype(float)
    assert np.linalg.norm(after - clean) < 0.7 * np.linalg.norm(array - clean)
    assert one["certificates"] == []
    assert "without certificates" in (tmp_path / "report.html").read_text()


def test_large_pictures_show_a_detail_and_the_whole(tmp_path):
    np.save(tmp_path / "a.npy", np.tile(picture()[0, ..., 0], (3, 40)).astype(np.float32))
    assert run("denoise", tmp_path / "a.npy", "--model", "tv", "--out", tmp_path).exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert "pixel by pixel" in page
    assert "reduced" in page


def test_several_pictures_each_get_a_folder_and_bad_ones_do_not_stop_the_rest(tmp_path, weights):
    (tmp_path / "other").mkdir()
    paths = [stored(tmp_path, "a.png", "uint8")[0], stored(tmp_path / "other", "a.png", "uint8")[0]]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    result = run("denoise", paths[0], bad, paths[1], "--weights", weights, "--out", tmp_path / "out", "--json")
    told = answer(result)
    assert result.exit_code == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "a-2"]
    assert [sorted(p.name for p in (tmp_path / "out" / name).iterdir()) for name in ("a", "a-2")] == [
        sorted(["denoised.png", *FILES[1:]])
    ] * 2
    assert list(told["failed"]) == [str(bad)]
    shown = said(run("denoise", paths[0], bad, "--weights", weights, "--out", tmp_path / "out"))
    assert "Failed: 1" in shown
    assert "bad.png" in shown


def test_ctrl_c_leaves_what_is_done(tmp_path, weights, monkeypatch):
    paths = [stored(tmp_path, f"{name}.png", "uint8")[0] for name in "abc"]
    read = lazy.io.read_photograph

    def interrupted(path):
        if path.name == "b.png":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(lazy.io, "read_photograph", interrupted)
    result = run("denoise", *paths, "--weights", weights, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 3
    told = answer(result)
    assert told["interrupted"]
    assert len(told["images"]) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]
    assert "2 of the images" in said(run("denoise", *paths, "--weights", weights, "--out", tmp_path / "out"))
    nothing = run("denoise", paths[1], "--weights", weights, "--out", tmp_path / "none")
    assert nothing.exit_code == 3
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "shrinkge"], "shrinkage"), (["--sigma", "much"], "auto or a number"),
        (["--sigma", "-3"], "above 0"), (["--sigma", "nan"], "above 0"), (["--weights", "none"], "none"),
        (["--sigma", "1e300"], "noise up to"), (["--sigma", "1e38", "--weights", "WEIGHTS"], "noise of the size"),
        (["--weights", ""], "Take one of these names"),
        (["--model", "tv", "--weights", "WEIGHTS"], "no network"),
        (["--model", "shrinkage", "--weights", "WEIGHTS"], "adaptive-shrinkage"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_told(tmp_path, weights, options, told):
    path, _ = stored(tmp_path, "a.png", "uint8")
    result = run("denoise", path, *(str(weights) if o == "WEIGHTS" else o for o in options), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert told in said(result)
    assert not (tmp_path / "out").exists()


def test_a_picture_never_takes_the_place_of_itself(tmp_path, weights):
    path, _ = stored(tmp_path, "denoised.png", "uint8")
    before = path.read_bytes()
    result = run("denoise", path, "--weights", weights, "--out", tmp_path)
    assert result.exit_code == 2
    assert "Choose another folder" in said(result)
    assert path.read_bytes() == before


def test_noise_outside_of_the_training_is_told(tmp_path, weights):
    path, _ = stored(tmp_path, "a.png", "uint8")
    (one,) = answer(run("denoise", path, "--weights", weights, "--sigma", 200, "--out", tmp_path, "--json"))["images"]
    assert any("was trained on 0.02 to 0.2" in note for note in one["notes"])


@pytest.mark.parametrize("unit", [2.0**-100, 2.0**100])
def test_the_unit_of_a_file_does_not_matter(tmp_path, weights, unit):
    values = picture()[0, :, :, 0].astype(np.float32)
    for name, scale in (("plain", 1.0), ("scaled", unit)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values * np.float32(scale))
        result = run("denoise", tmp_path / f"{name}.tif", "--weights", weights, "--out", tmp_path / name, "--json")
        assert result.exit_code == 0
    plain, scaled = (loaded(tmp_path / name / "denoised.tif") for name in ("plain", "scaled"))
    assert np.allclose(scaled / unit, plain, atol=1e-3)
    pages = [(tmp_path / name / "removed.png").read_bytes() for name in ("plain", "scaled")]
    assert pages[0] == pages[1]


def test_without_noise_nothing_is_removed(tmp_path, weights):
    drawn = np.zeros((32, 32, 3), np.uint8)
    drawn[8:20, 8:20] = 200
    Image.fromarray(drawn).save(tmp_path / "a.png")
    (one,) = answer(run("denoise", tmp_path / "a.png", "--weights", weights, "--out", tmp_path, "--json"))["images"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "denoised.png")), drawn)
    assert any("No noise" in note for note in one["notes"])


def test_the_rounding_of_an_even_picture_is_not_told_as_noise(tmp_path, weights):
    Image.fromarray(np.full((64, 80), 128, np.uint8)).save(tmp_path / "even.png")
    (one,) = answer(run("denoise", tmp_path / "even.png", "--weights", weights, "--out", tmp_path, "--json"))["images"]
    assert one["noise"] == 0
    assert "No noise was found in the picture." in (tmp_path / "report.html").read_text()


def test_opponents_are_orthogonal_and_come_back():
    colours = torch.randn(2, 3, 5, 6, dtype=torch.float64, generator=generator(3))
    turned = in_opponents(colours)
    assert torch.allclose(turned.norm(), colours.norm())
    assert torch.allclose(from_opponents(turned), colours)
    grey = torch.randn(2, 1, 5, 6, generator=generator(3))
    assert in_opponents(grey) is grey


def test_the_bound_holds_for_colours(weights):
    colours = torch.from_numpy(picture(channels=3)).permute(0, 3, 1, 2).double()
    found = denoise_pages(colours, denoiser_of(None, weights), 10.0)
    mean = colours.mean(dim=(-2, -1), keepdim=True)
    growth = float((found.values - mean).norm() / (colours - mean).norm())
    assert growth <= found.certificates[0].value + 1e-9
    assert torch.allclose(found.values.mean(dim=(-2, -1)), colours.mean(dim=(-2, -1)))


def test_the_scale_of_every_plane_is_named(weights):
    colours = torch.from_numpy(picture(channels=3)).permute(0, 3, 1, 2)
    found = denoise_pages(colours, denoiser_of(None, weights), 10.0)
    named = [h.measured for h in found.certificates[1].hypotheses if h.statement.startswith("a, s and σ")]
    assert len(set(named)) == 3
    assert all(one.endswith("σ = 10") for one in named)


def test_clipped_colours_do_not_hide_their_noise(weights):
    colours = torch.full((1, 3, 96, 96), 120.0)
    colours[:, :, :, 40:] = 3.0
    data = (colours + 12 * torch.randn(colours.shape, generator=generator(0))).clamp(0, 255)
    found = denoise_pages(data, denoiser_of(None, weights))
    assert found.noise[0].tolist() == pytest.approx([12.0] * 3, rel=0.15)


def test_names_of_models():
    assert denoisers()[:2] == ("shrinkage", "nonexpansive")
    assert {"tv", "shearlet"} <= set(denoisers())
    assert not {"inpaint", "deblur", "separate", "network"} & set(denoisers())
    with pytest.raises(UnknownNameError, match="shearlet"):
        denoiser_of("sheerlet")


def test_a_claim_that_fails_is_shown_and_the_picture_still_written(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(SymmetricBlock, "step", lambda self: torch.tensor(2.8))
    np.save(tmp_path / "a.npy", picture()[0, ..., 0])
    result = run("denoise", tmp_path / "a.npy", "--weights", weights, "--out", tmp_path / "out")
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert "this does not hold" in words
    assert "It rests on: block 0: 0 < τ <= 2. Here: 2.8000." in words
    assert words.count("block 0: 0 < τ <= 2") == 1
    assert (tmp_path / "out" / "denoised.npy").is_file()
    told = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert [c["holds"] for c in told["certificates"]] == [False] * 3
    bad = run("denoise", tmp_path / "a.npy", tmp_path / "none.npy", "--weights", weights, "--out", tmp_path / "two")
    assert bad.exit_code == 2  # what could not be read counts more


def test_the_shipped_default_works(tmp_path):
    if "shrinkage" not in shipped_weights():
        pytest.skip("no denoiser ships yet")
    path, array = stored(tmp_path, "a.png", "uint8", 3)
    assert run("denoise", path, "--out", tmp_path).exit_code == 0
    clean = picture(noise=0, channels=3)[0]
    after = loaded(tmp_path / "denoised.png").astype(float)
    assert np.linalg.norm(after - clean) < 0.6 * np.linalg.norm(array - clean)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_small_array_is_denoised_or_refused(tmp_path, weights, data):
    shape = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    kind = data.draw(st.sampled_from(["uint8", "int16", "float32", "float64", "bool", "complex64"]))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    np.save(tmp_path / "a.npy", (draw.integers(0, 3, shape) * data.draw(st.sampled_from([0, 1, 60]))).astype(kind))
    assert run("denoise", tmp_path / "a.npy", "--weights", weights, "--out", tmp_path / "out").exit_code in (0, 2)
