"""Frames on large images in windows: how far that is from the whole, and that it is not where it may not be."""

import pytest
import torch

from microlocal.core.seeding import generator
from microlocal.frames.compact_shearlet import REACH, CompactShearletFrame
from microlocal.operators.convolution import gaussian_kernel
from microlocal.operators.windows import torus_windows
from microlocal.reconstruction.images import deblur, denoise, inpaint
from microlocal.reconstruction.images import framed as framing
from microlocal.reconstruction.images.framed import Framed

SIDE = (150, 450)
CLOSE = 1e-5  # of the image's range: every coefficient that matters is within 1e-6 of that of the whole


def picture(noise=0.1):
    rows, cols = SIDE
    r, c = torch.meshgrid(torch.arange(rows) / rows, torch.arange(cols) / cols, indexing="ij")
    shapes = torch.sin(40 * r * c) + ((r - 0.5) ** 2 + (c - 0.5) ** 2 < 0.1)
    return (shapes + noise * torch.randn(SIDE, generator=generator(0))).double()


@pytest.mark.parametrize("shape", [(23, 31), (64, 7), (9, 9)])
def test_windows_of_the_torus_cover_it(shape):
    image = torch.arange(shape[0] * shape[1]).reshape(shape)
    found = torch.full(shape, -1)
    for window in torus_windows(shape, 3, 8):
        part = image[window.rows][:, window.cols]
        found[window.inner] = part[window.within]
        for axis, lines in enumerate((window.rows, window.cols)):
            inside, size = window.within[axis], shape[axis]
            around = len(lines) == size or (inside.start >= 3 and inside.stop + 3 <= len(lines))
            assert around
            assert inside.stop - inside.start <= max(8, 14 if len(lines) == size else 8)
    assert torch.equal(found, image)
    assert len({(len(w.rows), len(w.cols)) for w in torus_windows(shape, 3, 8)}) == 1


@pytest.fixture
def small(monkeypatch):
    """Images of a thousand pixels are large, and return how to call them small again."""
    monkeypatch.setattr(framing, "WHOLE", 1000)
    monkeypatch.setattr(framing, "TILE", 128)
    return lambda: monkeypatch.setattr(framing, "WHOLE", SIDE[0] * SIDE[1] * 2)


def test_a_linear_map_of_coefficients_falls_off_within_the_reach(small, monkeypatch):
    """The worst pixel, beside windows that are too narrow: the margin matters, and is wide enough."""

    def halved(frame, x):
        coefficients = frame(x)
        for band, record in zip(frame.bands(coefficients), frame.filters, strict=True):
            band.mul_(0.5 + 0.25 * (record.shear % 3))
        return frame.inverse(coefficients)

    x = picture()
    whole = halved(CompactShearletFrame(SIDE, scales=4), x)
    gaps = {}
    for margin in (32, REACH):
        monkeypatch.setitem(framing.NEAR, "compact-shearlet", margin)
        gaps[margin] = float((Framed("compact-shearlet", SIDE, "test").map(halved, x) - whole).abs().max())
    assert gaps[REACH] < 2e-6 * float(x.max() - x.min())
    assert gaps[32] > 100 * gaps[REACH]


@pytest.mark.parametrize("rule", ["wiener", "hard", "bayes"])
def test_denoising_in_windows_is_that_of_the_whole(rule, small):
    x = picture()
    in_windows = denoise(x, noise=0.1, rule=rule).image
    assert not torch.equal(in_windows, torch.zeros_like(x))
    small()
    gap = float((in_windows - denoise(x, noise=0.1, rule=rule).image).abs().max())
    assert gap <= (0 if rule == "bayes" else CLOSE * float(x.max() - x.min()))


@pytest.mark.parametrize("task", ["deblur", "inpaint"])
def test_thresholding_in_windows_differs_as_by_a_millionth_of_the_data(task, small):
    """Hard thresholds are not continuous, and steps add up: two runs whose data differ by 1e-6 part just as far."""
    truth, x = picture(noise=0.0), picture()
    spread = float(x.max() - x.min())
    known = torch.rand(SIDE, generator=generator(1)) > 0.4

    def run(data):
        if task == "deblur":
            return deblur(data, gaussian_kernel(1.5).double(), noise=0.1, iterations=8).image
        return inpaint(data, known, noise=0.1, iterations=8).image

    in_windows = run(x)
    small()
    whole, moved = run(x), run(x + 1e-6 * spread * torch.randn(SIDE, dtype=x.dtype, generator=generator(2)))
    gaps = [float((other - whole).square().mean().sqrt()) / spread for other in (in_windows, moved)]
    quality = [float((image - truth).norm() / (whole - truth).norm()) for image in (in_windows, moved)]
    assert 0 < gaps[0] < max(3 * gaps[1], 1e-5)
    assert abs(quality[0] - 1) < 2e-3
