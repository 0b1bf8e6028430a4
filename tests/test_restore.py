"""``microlocal deblur`` and ``microlocal inpaint``: pictures come nearer to the truth, and what is told is so."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from cli_help import answer, run, said
from PIL import Image
from tiny_weights import tiny_denoiser

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.seeding import generator
from microlocal.io.gaps import known_pixels, read_mask
from microlocal.io.photograph import read_photograph
from microlocal.io.png16 import png_bytes
from microlocal.operators.convolution import Convolution, disc_kernel, gaussian_kernel, motion_kernel
from microlocal.reconstruction.images import restorers
from microlocal.reconstruction.images.blur import blur_of
from microlocal.reconstruction.images.colours import denoise_pages
from microlocal.reconstruction.images.restorers import FLOW, MODELS, choice_of, deblurrer, inpaint_pages
from microlocal.reconstruction.images.trial import cartoon
from microlocal.solvers.driver import Driver

SIZE = 48
KERNEL = gaussian_kernel(1.2).float()
BLUR = ("--blur", "gaussian:1.2")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_denoiser(tmp_path_factory.mktemp("weights") / "tiny")


def truth(channels=1, pages=1):
    """A drawing of 8 bits, (page, row, col, channel)."""
    tint = torch.linspace(1.0, 0.6, channels)
    return (40 + 160 * cartoon(SIZE)[None, :, :, None] / 1.4 * tint).repeat(pages, 1, 1, 1).numpy()


def blurred(channels=1, pages=1, noise=1.0):
    planes = torch.from_numpy(np.moveaxis(truth(channels, pages), -1, 1).copy())
    seen = Convolution(KERNEL, (SIZE, SIZE))(planes)
    return np.moveaxis((seen + noise * torch.randn(seen.shape, generator=generator(0))).numpy(), 1, -1)


def marks():
    known = np.random.default_rng(0).random((SIZE, SIZE)) > 0.3
    known[20:26, 10:30] = False
    return known


def stored(path, values, kind):
    """Write (page, row, col, channel) values of 8 bits as a file of ``kind``; return what is in it."""
    array = values * (257 if kind == "uint16" else 1)
    array = np.clip(np.rint(array), 0, np.iinfo(kind).max).astype(kind) if kind.startswith("u") else array.astype(kind)
    array = array[..., 0] if array.shape[-1] == 1 else array
    array = array if len(array) > 1 else array[0]
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="rgb" if values.shape[-1] == 3 else "minisblack")
    elif kind == "uint16" and array.ndim == 3:
        path.write_bytes(png_bytes(array))
    else:
        Image.fromarray(array).save(path)
    return array


def values_of(path):
    return np.moveaxis(read_photograph(path).values, 1, -1)


def psnr(image, clean):
    return 20 * math.log10(160 / np.sqrt(np.mean((np.asarray(image, float) - clean) ** 2)))


CASES = [("a.png", "uint8", 3, 1), ("a.png", "uint16", 3, 1), ("a.png", "uint16", 1, 1), ("a.tif", "float32", 1, 2),
         ("a.npy", "float64", 1, 1)]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "channels", "pages"), CASES)
def test_a_blur_is_undone_and_the_file_keeps_its_format(tmp_path, weights, name, kind, channels, pages):
    array = stored(tmp_path / name, blurred(channels, pages), kind)
    (one,) = answer(run("deblur", tmp_path / name, *BLUR, "--weights", weights, "--iterations", 30, "--out",
                        tmp_path / "out", "--json"))["images"]  # fmt: skip
    suffix = (tmp_path / name).suffix
    names = [f"deblurred{suffix}", "changed.png", "certificate.json", "report.html"]
    assert [file.rsplit("/", 1)[-1] for file in one["files"]] == names
    path, unit = tmp_path / "out" / f"deblurred{suffix}", 257 if kind == "uint16" else 1
    assert read_photograph(path).kind == kind
    before, after = (values_of(file) / unit for file in (tmp_path / name, path))
    assert after.shape == before.shape
    assert array.size == after.size
    assert psnr(after, truth(channels, pages)) > psnr(before, truth(channels, pages)) + 1
    assert one["noise"] == pytest.approx(unit, rel=0.4)
    assert one["blur"]["what"] == "gaussian:1.2"
    (certificate,) = one["certificates"]
    assert certificate["holds"]
    assert certificate["value"] <= 1
    assert one["left"] < 2 * unit
    assert one["steps"]["iterations"] <= 30
    assert any("|T(u) - u| is" in note for note in one["notes"])


@pytest.mark.parametrize(("name", "kind", "channels", "pages"), CASES)
def test_gaps_are_filled_and_known_pixels_are_kept_bit_for_bit(tmp_path, weights, name, kind, channels, pages):
    holes = truth(channels, pages) * marks()[None, ..., None]
    stored(tmp_path / name, holes, kind)
    Image.fromarray(marks().astype(np.uint8)).save(tmp_path / "mask.png")
    result = run("inpaint", tmp_path / name, "--mask", tmp_path / "mask.png", "--weights", weights, "--sigma", 0,
                 "--iterations", 40, "--out", tmp_path / "out", "--json")  # fmt: skip
    (one,) = answer(result)["images"]
    path = tmp_path / "out" / f"inpainted{(tmp_path / name).suffix}"
    before, after = values_of(tmp_path / name), values_of(path)
    assert np.array_equal(after[:, marks()], before[:, marks()])
    unit, clean = 257 if kind == "uint16" else 1, truth(channels, pages)
    mean = np.where(marks()[None, ..., None], clean, clean[:, marks()].mean(axis=1)[:, None, None])
    assert psnr(after / unit, clean) > psnr(mean, clean) + 3
    missing = pages * int((~marks()).sum())
    assert one["filled"] == {"pixels": missing, "share": pytest.approx((~marks()).mean()), "provenance": "learned"}
    assert all(c["holds"] for c in one["certificates"])
    page = (tmp_path / "out" / "report.html").read_text()
    for word in ("What was filled in", "learned", "The known pixels were kept", "Inpainted by"):
        assert word in page


def test_one_pixel_is_told_in_the_singular(tmp_path):
    stored(tmp_path / "a.png", truth()[:, :8, :8], "uint8")
    known = np.full((8, 8), 255, np.uint8)
    known[3, 4] = 0
    Image.fromarray(known).save(tmp_path / "mask.png")
    where = ("--mask", tmp_path / "mask.png", "--model", "tv", "--out", tmp_path)
    assert run("inpaint", tmp_path / "a.png", *where).exit_code == 0
    assert "1 pixel, undetermined" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("model", [m for m in MODELS if m not in ("plug-and-play", FLOW)])
def test_every_model_deblurs_and_inpaints(tmp_path, weights, model):
    own = ["--weights", weights] if model == "red" else []
    stored(tmp_path / "a.png", blurred(), "uint8")
    assert run("deblur", tmp_path / "a.png", *BLUR, "--model", model, *own, "--out", tmp_path).exit_code == 0
    assert psnr(values_of(tmp_path / "deblurred.png"), truth()) > psnr(values_of(tmp_path / "a.png"), truth()) + 0.5
    np.save(tmp_path / "mask.npy", marks())
    stored(tmp_path / "b.png", truth(), "uint8")
    result = run("inpaint", tmp_path / "b.png", "--mask", tmp_path / "mask.npy", "--model", model, *own, "--out",
                 tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0
    (one,) = answer(result)["images"]
    assert one["filled"]["provenance"] == ("learned" if model == "red" else "undetermined")
    assert np.abs(values_of(tmp_path / "inpainted.png") - truth())[:, ~marks()].mean() < 15


def test_pixels_that_are_nan_are_unknown_too(tmp_path, weights):
    values = truth(pages=2)
    values[1, 5:9, 5:9] = np.nan
    stored(tmp_path / "a.tif", values, "float32")
    Image.fromarray(np.ones((SIZE, SIZE), np.uint8)).save(tmp_path / "mask.png")
    result = run("inpaint", tmp_path / "a.tif", "--mask", tmp_path / "mask.png", "--weights", weights, "--out",
                 tmp_path, "--json")  # fmt: skip
    after = tifffile.imread(tmp_path / "inpainted.tif")
    assert answer(result)["images"][0]["filled"]["pixels"] == 16
    assert np.isfinite(after).all()
    assert np.array_equal(after[0], values[0, ..., 0].astype(np.float32))


def test_known_pixels_are_denoised_where_noise_is_estimated(tmp_path, weights):
    known = np.ones((96, 96), bool)
    known[40:50, 20:60] = False
    clean = (40 + 160 * cartoon(96) / 1.4).numpy()
    noisy = clean + 8 * torch.randn(96, 96, generator=generator(1)).numpy()
    np.save(tmp_path / "a.npy", np.where(known, noisy, np.nan).astype(np.float32))
    np.save(tmp_path / "mask.npy", known)
    result = run("inpaint", tmp_path / "a.npy", "--mask", tmp_path / "mask.npy", "--weights", weights, "--sigma",
                 "auto", "--out", tmp_path, "--json")  # fmt: skip
    (one,) = answer(result)["images"]
    assert one["noise"] == pytest.approx(8, rel=0.25)
    after = np.load(tmp_path / "inpainted.npy")
    assert np.linalg.norm((after - clean)[known]) < 0.9 * np.linalg.norm((noisy - clean)[known])
    assert "The known pixels were denoised" in (tmp_path / "report.html").read_text()


def test_gaps_everywhere_leave_no_noise_to_see(weights):
    pages = torch.from_numpy(truth()).permute(0, 3, 1, 2) + 5 * torch.randn(1, 1, SIZE, SIZE, generator=generator(2))
    known = torch.rand(1, SIZE, SIZE, generator=generator(3)) > 0.5
    found = inpaint_pages(pages, known, choice_of(None, weights, 5), None)
    assert float(found.noise.max()) == 0
    assert torch.equal(found.values[:, 0][known], pages[:, 0][known])


def test_interrupting_an_iteration_keeps_its_image(tmp_path, weights, monkeypatch):
    plain, calls = Driver.run, []

    def interrupted(self, start, step, *rest):
        calls.append(self.task)

        def stops(state):
            if int(state.get("iteration", torch.tensor(0))) == 8:
                raise KeyboardInterrupt
            return step(state)

        return plain(self, start, stops if self.task == "reconstructing" else step, *rest)

    monkeypatch.setattr(Driver, "run", interrupted)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        stored(path, blurred(3), "uint8")
    result = run("deblur", *paths, *BLUR, "--weights", weights, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 3
    told = answer(result)
    assert told["interrupted"]
    (one,) = told["images"]
    assert any("2 of 3 planes were not reached" in note for note in one["notes"])
    assert calls.count("reconstructing") == 1
    after = values_of(tmp_path / "out" / "a" / "deblurred.png")
    assert psnr(after, truth(3)) > psnr(blurred(3), truth(3))
    assert json.loads((tmp_path / "out" / "a" / "certificate.json").read_text())["interrupted"]
    assert "1 of the images" in said(run("deblur", *paths, *BLUR, "--weights", weights, "--out", tmp_path / "out"))


def test_a_claim_that_fails_ends_with_1(tmp_path, weights, monkeypatch):
    plain = restorers.deblur_plug_and_play

    def refuted(*given, **more):
        found = plain(*given, **more)
        return replace(found, certificates=tuple(replace(c, value=2 * c.bound) for c in found.certificates))

    monkeypatch.setattr(restorers, "deblur_plug_and_play", refuted)
    stored(tmp_path / "a.png", blurred(), "uint8")
    result = run("deblur", tmp_path / "a.png", *BLUR, "--weights", weights, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "this does not hold" in said(result)
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--blur", "gausian:1.5"], "Did you mean 'gaussian'?"), (["--blur", "gaussian:x"], "gaussian:SIGMA"),
        (["--blur", "gaussian:-1"], "above 0"), (["--blur", "motion:9"], "motion:LENGTH,DEGREES"),
        (["--blur", "disc:1e9"], "at most 100"), (["--blur", "none.png"], "no such file"),
        (["--blur", "gaussian:9"], "within 48 x 48"), (["--blur", "ZERO"], "a sum of 0"), ([], "--blur"),
        (["--blur", "disc:2", "--sigma", "0"], "above 0"),
        (["--blur", "disc:2", "--model", "shrinkage"], "plug-and-play"),
        (["--blur", "disc:2", "--model", "tv", "--weights", "x"], "uses no network"),
        (["--blur", "disc:2", "--weights", "DNCNN"], "Lipschitz constant one"),
    ],
)  # fmt: skip
def test_what_cannot_be_deblurred_is_told(tmp_path, options, told):
    stored(tmp_path / "a.png", blurred(), "uint8")
    np.save(tmp_path / "zero.npy", np.zeros((3, 3)))
    named = {"ZERO": tmp_path / "zero.npy", "DNCNN": tiny_denoiser(tmp_path / "other", "shrinkage")}
    result = run("deblur", tmp_path / "a.png", *(named.get(o, o) for o in options), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert told in said(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.ones((SIZE, SIZE - 1)), "47 x 48 pixels"), (np.ones((3, SIZE, SIZE)), "3 pages"),
        (np.zeros((SIZE, SIZE)), "none of page 1"), (np.ones((SIZE, SIZE)), "all of a.png"), (None, "--mask"),
    ],
)  # fmt: skip
def test_what_cannot_be_inpainted_is_told(tmp_path, mask, told):
    stored(tmp_path / "a.png", truth(), "uint8")
    if mask is not None:
        np.save(tmp_path / "mask.npy", mask)
    given = [] if mask is None else ["--mask", tmp_path / "mask.npy"]
    result = run("inpaint", tmp_path / "a.png", *given, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert told in said(result)
    assert not (tmp_path / "out").exists()


def test_blurs_in_words_and_in_files(tmp_path):
    assert torch.equal(blur_of("gaussian:1.2").kernel, KERNEL)
    assert torch.equal(blur_of("disc:3").kernel, disc_kernel(3.0).float())
    assert torch.equal(blur_of("motion:9,30").kernel, motion_kernel(9.0, math.radians(30)).float())
    point = np.array([[0, 10, 0], [20, 60, 20], [0, 10, 0]], np.uint8)
    Image.fromarray(point).save(tmp_path / "point.png")
    Image.fromarray(np.stack([point] * 3, -1)).save(tmp_path / "colours.png")
    np.save(tmp_path / "point.npy", point / 7)
    for name in ("point.png", "colours.png", "point.npy"):
        found = blur_of(str(tmp_path / name))
        assert torch.allclose(found.kernel, torch.from_numpy(point / 120).float())
        assert name in found.words
    assert "its sum of 120" in blur_of(str(tmp_path / "point.png")).words
    assert blur_of("disc:0.01").kernel.tolist() == [[1.0]]
    np.save(tmp_path / "pages.npy", np.ones((5, 6, 7)))
    with pytest.raises(InputError, match="5 pages"):
        blur_of(str(tmp_path / "pages.npy"))
    with pytest.raises(UnknownNameError):
        blur_of("wide")


def test_masks_of_every_kind(tmp_path):
    known = marks()
    Image.fromarray(known).save(tmp_path / "bits.png")
    Image.fromarray(np.stack([known * 200, known * 0, known * 0], -1).astype(np.uint8)).save(tmp_path / "red.png")
    np.save(tmp_path / "bool.npy", known)
    tifffile.imwrite(tmp_path / "float.tif", known * 0.5)
    for name in ("bits.png", "red.png", "bool.npy", "float.tif"):
        assert np.array_equal(read_mask(tmp_path / name)[0], known), name
    stored(tmp_path / "a.tif", truth(pages=2), "uint8")
    picture = read_photograph(tmp_path / "a.tif")
    both = known_pixels(picture, np.stack([known, ~known]), tmp_path / "mask")
    assert np.array_equal(both[1], ~known)
    assert known_pixels(picture, known[None], tmp_path / "mask").shape == (2, SIZE, SIZE)


def test_a_grey_picture_in_colours_is_deblurred_as_the_grey_one(weights):
    grey = torch.from_numpy(blurred()).permute(0, 3, 1, 2)
    chosen = deblurrer(choice_of(None, weights, 10), blur_of("gaussian:1.2"))
    one = denoise_pages(grey, chosen, 1.0).values
    three = denoise_pages(grey.expand(1, 3, SIZE, SIZE), chosen, math.sqrt(3)).values  # of y = √3 grey
    assert torch.allclose(three, one.expand_as(three), atol=0.01)
