"""Large images window by window: the same numbers as at once, for operators and for one step of plug-and-play."""

import pytest
import torch

from microlocal.core.seeding import generator
from microlocal.operators import Convolution, CroppedBlur, Mask, Pad, gaussian_kernel
from microlocal.operators import cropped_blur as blurs
from microlocal.operators.windows import by_windows, windows
from microlocal.reconstruction import fixed_point
from microlocal.reconstruction.data_step import DataStep
from microlocal.reconstruction.fixed_point import Iteration, tiny_denoiser

SIGNED = torch.tensor([[0.1, 0.7, 0.3, -0.1], [0.0, 0.2, -0.2, 0.0], [0.1, 0.0, 0.1, 0.0]], dtype=torch.float64)
SHAPE, MARGIN = (150, 212), ((16, 16), (16, 16))


def image(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=generator(seed))


def test_windows_cover_an_image_once():
    count = torch.zeros(23, 31)
    for window in windows((23, 31), 4, 10):
        count[window.inner] += 1
        part = torch.arange(23 * 31).reshape(23, 31)
        assert torch.equal(part[window.outer][window.within], part[window.inner])
        sides = [(outer.start, outer.stop) for outer in window.outer]
        assert sides == [(max(a.start - 4, 0), min(a.stop + 4, n)) for a, n in zip(window.inner, (23, 31), strict=True)]
    assert bool((count == 1).all())
    assert by_windows(lambda part, _: part + 1, count, 4, whole=10, tile=10).tolist() == (count + 1).tolist()


@pytest.mark.parametrize("kernel", [SIGNED, gaussian_kernel(1.5)], ids=["signed", "gaussian"])
def test_a_cropped_blur_is_the_crop_of_a_convolution_in_windows_too(kernel):
    wide = (SHAPE[0] + 32, SHAPE[1] + 32)
    whole = Pad(SHAPE, MARGIN, "zero").H @ Convolution(kernel, wide)
    x, y = image(2, *wide), image(2, *SHAPE, seed=1)
    for operator in (CroppedBlur(kernel, SHAPE, MARGIN), CroppedBlur(kernel, SHAPE, MARGIN, whole=64, tile=40)):
        assert torch.allclose(operator(x), whole(x), atol=1e-12)
        assert torch.allclose(operator.adjoint(y), whole.adjoint(y), atol=1e-12)
        assert whole.norm_bound() * (1 - 1e-6) <= operator.norm_bound() <= 1.5 * whole.norm_bound()


def test_the_bound_of_a_large_blur_covers_what_it_does_at_the_border():
    """The norm of the dense matrix: pixels at the border are seen twice, by themselves and in the mirror."""
    kernel = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    large = CroppedBlur(kernel, (3, 30), ((0, 0), (0, 0)), whole=8, tile=8)
    dense = large(torch.eye(90, dtype=torch.float64).reshape(90, 3, 30)).flatten(1)
    exact = float(torch.linalg.matrix_norm(dense, 2))
    assert exact == pytest.approx(2**0.5)
    assert exact <= large.norm_bound() <= 1.01 * exact


@pytest.mark.parametrize("scheme", ["plug-and-play", "red"])
@pytest.mark.parametrize("kind", ["blur", "mask"])
def test_a_step_of_a_large_image_is_that_of_the_whole(kind, scheme, monkeypatch):
    blur = CroppedBlur(SIGNED, SHAPE, MARGIN)
    operator = blur if kind == "blur" else Mask(image(*SHAPE, seed=2) > 0.4)
    step = DataStep(operator, image(1, 1, *operator.codomain_shape, seed=1), 3)
    level = torch.tensor([0.1], dtype=torch.float64)
    iteration = Iteration(step, tiny_denoiser().double(), level, scheme, (-1.0, 2.0))
    u = image(1, 1, *operator.domain_shape, seed=3)
    seen: list[tuple[int, ...]] = []

    def small(run, x, margin, whole, progress):
        def told(part, place):
            seen.append(tuple(part.shape))
            return run(part, place)

        return by_windows(told, x, margin, whole=100, tile=64)

    with torch.no_grad():
        at_once = iteration(u)
        monkeypatch.setattr(fixed_point, "by_windows", small)
        in_windows = iteration(u)
    assert len(seen) > 4
    assert torch.allclose(in_windows, at_once, atol=1e-12)
    assert blurs.WHOLE == 2048


def test_what_sees_far_is_not_divided():
    far = Iteration(
        DataStep(Convolution(SIGNED, (9, 9)), image(1, 1, 9, 9), 1), tiny_denoiser().double(), torch.ones(1).double()
    )
    assert far._reach() is None
