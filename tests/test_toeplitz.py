"""The normal operator as a convolution: against the dense matrix, with weights, and where it is none."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, InputError, ParallelBeam
from microlocal.operators import (
    Complexified,
    Concatenate,
    HermitianToeplitz,
    Identity,
    NonUniformFourier,
    RayTransform,
    Stack,
    Toeplitz,
    radial_trajectory,
)
from microlocal.operators.base import Multiple, Sum
from microlocal.operators.spaces import draw
from microlocal.operators.toeplitz import fourier_normal
from microlocal.testing import check


def _matrix(operator):
    count = math.prod(operator.domain_shape)
    return operator(torch.eye(count, dtype=torch.float64).reshape(count, *operator.domain_shape)).reshape(count, -1).T


def _ray(shape, views, detector, arc=math.pi, pixel=1.0, center=(0.0, 0.0)):
    angles = tuple(np.arange(views) * arc / views + 0.1)
    return RayTransform(ParallelBeam(angles, detector), Grid(shape, pixel, center), "fourier")


COVERED = [
    _ray((8, 8), 7, Detector(12, 1.0)),
    _ray((7, 10), 6, Detector(17, 0.9, 0.4, reversed=True), pixel=0.8, center=(0.1, -0.2)),
    _ray((12, 9), 10, Detector(25, 0.7), arc=2.0),
]


@pytest.mark.parametrize("ray", COVERED)
def test_normal_operator_is_the_dense_one(ray):
    matrix = _matrix(ray)
    normal = ray.normal()
    assert isinstance(normal, Toeplitz)
    exact = matrix.T @ matrix
    assert float((_matrix(normal) - exact).norm()) < 1e-11 * float(exact.norm())
    x = torch.rand(3, *ray.domain_shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(normal(x), ray.adjoint(ray(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ray", COVERED)
def test_weights_of_views_and_frequencies(ray):
    source = torch.Generator().manual_seed(1)
    views, count = ray.codomain_shape
    matrix = _matrix(ray).reshape(views, count, -1)
    weights = torch.rand(views, dtype=torch.float64, generator=source)
    exact = torch.einsum("vdi,v,vdj->ij", matrix, weights, matrix)
    made = _matrix(fourier_normal(ray.slices, weights))
    assert float((made - exact).norm()) < 1e-11 * float(exact.norm())
    # The same by frequency: a filter along the detector, whose length is the period here.
    filters = torch.rand(views, (count + 1) // 2, dtype=torch.float64, generator=source)
    padded = torch.cat((filters, torch.zeros(views, count // 2 + 1 - filters.shape[1])), dim=1)
    spectrum = torch.fft.rfft(matrix, dim=1) * padded[..., None]
    exact = torch.einsum("vdi,vdj->ij", torch.fft.irfft(spectrum, n=count, dim=1), matrix)
    made = _matrix(fourier_normal(ray.slices, filters))
    assert float((made - exact).norm()) < 1e-11 * float(exact.norm())


def test_a_short_or_a_coarse_detector_or_another_method_composes():
    short = _ray((8, 8), 7, Detector(8, 1.0))
    coarse = _ray((8, 8), 7, Detector(6, 2.0))
    fan = FanBeam((0.0, 1.0), Detector(9, 1.0), source_axis=20.0, source_detector=30.0)
    for ray in (short, coarse, RayTransform(fan, Grid((6, 5), 1.0))):
        assert not isinstance(ray.normal(), Toeplitz)
        matrix = _matrix(ray)
        assert torch.allclose(_matrix(ray.normal()), matrix.T @ matrix, atol=1e-10)


def test_toeplitz_is_the_matrix_of_its_kernel():
    kernel = torch.rand(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    kernel = kernel + kernel.flip(0, 1)
    operator = Toeplitz(kernel)
    r, c = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    r, c = r.flatten(), c.flatten()
    matrix = kernel[r[:, None] - r + 2, c[:, None] - c + 3]
    assert torch.allclose(_matrix(operator), matrix, atol=1e-13)
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= operator.norm_bound() <= norm * (1 + 1e-6)  # no negative entry: the bound converges to the norm


def test_kernels_that_are_not_even_are_refused():
    with pytest.raises(InputError, match="every offset"):
        Toeplitz(torch.ones(4, 5))
    with pytest.raises(InputError, match="Symmetrise"):
        Toeplitz(torch.arange(15.0).reshape(3, 5))


WHOLE = RayTransform(ParallelBeam((0.0, 0.4, 1.3, 2.0), Detector(14, 1.0)), Grid((6, 7), 1.0), "fourier")
OTHER = RayTransform(ParallelBeam((0.2, 0.9, 1.7, 2.6), Detector(14, 1.0)), Grid((6, 7), 1.0), "fourier")
COMPLEX = Complexified(WHOLE)
FINER = RayTransform(ParallelBeam((0.2, 0.9), Detector(25, 0.6)), Grid((6, 7), 1.0), "fourier")


@pytest.mark.parametrize(
    "operator",
    [
        -2.0 * WHOLE,
        Stack(WHOLE, 3.0 * WHOLE),
        Concatenate(WHOLE, -WHOLE, axis=-2),
        Complexified(WHOLE),
        WHOLE + WHOLE,
        2 * WHOLE - 0.5 * (WHOLE + WHOLE),
        Sum(WHOLE, 0.5 * WHOLE, WHOLE),
        (WHOLE + OTHER) - OTHER,
        Stack(WHOLE, OTHER + 2 * OTHER),
        WHOLE.H.H,
        Stack(WHOLE, FINER),
        (2j * COMPLEX) + 1.5 * (1j * (1j * COMPLEX)),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_combinations_keep_the_convolution(operator):
    """The normal operator is that of A* A, with no projector left in it."""
    normal, source = operator.normal(), torch.Generator().manual_seed(2)
    kind = torch.complex128 if operator.domain_complex else torch.float64
    x = torch.randn(2, 6, 7, dtype=kind, generator=source)
    assert torch.allclose(normal(x), operator.adjoint(operator(x)), rtol=0, atol=1e-8)
    kinds = {type(module) for module in normal.modules()}
    assert Toeplitz in kinds
    assert RayTransform not in kinds


def test_convolutions_add_up_to_one_convolution():
    """|c|² times a kernel, and the sum of the kernels of a stack: two transforms, whatever the number of parts."""
    operator = Concatenate(WHOLE, 3.0 * OTHER, axis=-2)
    normal, matrix = operator.normal(), _matrix(operator)
    assert isinstance(normal, Toeplitz)
    assert torch.allclose(_matrix(normal), matrix.T @ matrix, atol=1e-9)
    check("operator", normal)
    samples = [NonUniformFourier(radial_trajectory(n, 4), (4, 5)) for n in (3, 5)]
    hermitian = Stack(*samples).normal()
    assert isinstance(hermitian, HermitianToeplitz)
    x = draw(hermitian, torch.Generator().manual_seed(4))
    assert torch.allclose(hermitian(x), sum(a.adjoint(a(x)) for a in samples), atol=1e-9)


def test_sums_of_different_operators_compose_and_multiples_of_one_collect():
    """(R + S)* (R + S) has mixed terms, which are no convolution known; c R + d R = (c + d) R."""
    mixed, matrix = WHOLE + OTHER, _matrix(WHOLE) + _matrix(OTHER)
    assert torch.allclose(_matrix(mixed.normal()), matrix.T @ matrix, atol=1e-9)
    assert isinstance(WHOLE + 2 * WHOLE, Multiple)
    assert (WHOLE - WHOLE).norm_bound() == 0.0
    assert torch.equal(_matrix(WHOLE - WHOLE), torch.zeros(56, 42, dtype=torch.float64))
    assert (WHOLE + 2 * WHOLE).norm_bound() == pytest.approx(3 * WHOLE.norm_bound())
    plus_one = WHOLE.normal() + Identity((6, 7))
    assert torch.allclose(_matrix(plus_one), _matrix(WHOLE.normal()) + torch.eye(42, dtype=torch.float64))
