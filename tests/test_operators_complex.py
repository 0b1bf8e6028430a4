"""Complex images: the laws see through broken conjugates, and errors say how to go between real and complex."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.core.errors import InputError
from microlocal.frames import AtomFrame, ConvolutionalSynthesis
from microlocal.operators import (
    AsComplex,
    Complexified,
    Convolution,
    Downsampling,
    FourierSampling,
    Gradient,
    Mask,
    NonUniformFourier,
    RayTransform,
    Toeplitz,
    norm_estimate,
)
from microlocal.operators.spaces import draw, inner
from microlocal.testing import LawViolation, check, laws
from tests.mutants.operators import Turn, complex_operators

LAWS = {law.__name__: law for law in laws("operator")}
MUTANTS = complex_operators()


def test_the_honest_complex_operator_passes_every_law():
    check("operator", Turn())


@pytest.mark.parametrize("name", MUTANTS)
def test_law_catches_its_complex_mutant(name):
    with pytest.raises(LawViolation) as caught:
        LAWS[name](MUTANTS[name])
    assert len(str(caught.value)) > 20


WAVE = 1j * torch.ones(3, 3)
REAL_ONLY = {
    "Convolution": lambda k: Convolution(k, (8, 8)),
    "Downsampling": lambda k: Downsampling((8, 8), 2, kernel=k),
    "FourierSampling": FourierSampling,
    "Mask": Mask,
    "Toeplitz": Toeplitz,
    "ConvolutionalSynthesis": lambda k: ConvolutionalSynthesis(k[None], (8, 8)),
    "AtomFrame": lambda k: AtomFrame((8, 8), k[None]),
    "NonUniformFourier": lambda k: NonUniformFourier(k[:, :2], (8, 8)),
}


@pytest.mark.parametrize("build", REAL_ONLY.values(), ids=REAL_ONLY)
def test_complex_numbers_are_refused_where_their_imaginary_part_would_be_dropped(build):
    assert build(torch.ones(3, 3)).norm_bound() > 0
    with pytest.raises(InputError, match=r"expected real numbers, got torch\.complex64"):
        build(WAVE)
    with pytest.raises(InputError, match="a torch tensor, got ndarray"):
        build(np.ones((3, 3)))


def test_real_arrays_are_refused_with_the_way_out():
    fourier = FourierSampling(torch.ones(3, 3))
    with pytest.raises(InputError, match=r"complex64 or complex128.*float32.*AsComplex"):
        fourier(torch.ones(3, 3))
    with pytest.raises(InputError, match=r"float32 or float64.*complex64.*Complexified"):
        Gradient((3, 3))(torch.ones(3, 3, dtype=torch.complex64))
    with pytest.raises(InputError, match=r"Gradient @ FourierSampling: expected real arrays, got complex"):
        Gradient((3, 3)) @ fourier


def test_a_real_image_seen_through_a_complex_operator_has_a_real_gradient():
    operator = FourierSampling(torch.ones(4, 5)) @ AsComplex((4, 5))
    check("operator", operator)
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    operator(x).abs().square().sum().backward()
    assert x.grad.allclose(2 * x)  # |F x|² = |x|²


def test_complexified_keeps_the_norm_and_acts_on_both_parts():
    real = Gradient((5, 6))
    operator = Complexified(real)
    x = draw(operator, torch.Generator().manual_seed(1))
    assert operator(x).real.equal(real(x.real))
    assert operator(x).imag.equal(real(x.imag))
    assert norm_estimate(operator) == pytest.approx(norm_estimate(real), rel=1e-3)
    with pytest.raises(InputError, match="Complexified: expected a real operator"):
        Complexified(operator)


def test_a_complexified_projector_takes_conjugates_and_their_gradients():
    """The imaginary part of a conjugate is negated by torch when read; finufft and scipy's FFT read the memory."""
    beam = ParallelBeam(tuple(math.pi * k / 9 for k in range(9)), Detector(12, 1.0))
    operator = Complexified(RayTransform(beam, Grid((8, 8), 1.0), "fourier"))
    z, w = (draw(a, torch.Generator().manual_seed(1)) for a in (operator, operator.H))
    assert operator.adjoint(w.conj()).equal(operator.adjoint(w.conj().resolve_conj()))
    z.requires_grad_()
    total = (operator(z).conj() * w).sum()
    (gradient,) = torch.autograd.grad(total.abs(), z)
    unit = (total / total.abs()).detach()
    assert gradient.allclose(operator.adjoint(unit.conj() * w))  # |<z', w>| grows along <z', w>/|<z', w>|


def test_inner_product_is_the_real_part():
    x, y = torch.tensor([1 + 2j, 3j]), torch.tensor([2 - 1j, 1j])
    assert inner(x, y) == pytest.approx(float((x.conj() * y).sum().real))
    assert inner(x.conj(), y) == pytest.approx(float((x * y).sum().real))
