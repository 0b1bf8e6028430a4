"""Operators of scipy and DeepInverse, in and out; a wrong adjoint is found out."""

import math

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.operators import (
    AsComplex,
    CoilSensitivities,
    Downsampling,
    FourierSampling,
    Gradient,
    MatrixFree,
    MatrixOperator,
    birdcage_maps,
    from_deepinv,
    to_scipy,
)
from microlocal.reconstruction import Observation, reconstruct
from microlocal.solvers import as_deepinv
from microlocal.testing import check

TABLE = np.random.default_rng(8).standard_normal((6, 8))


class Blur:
    """A physics of another library: (B, C, H, W) in and out, its adjoint scaled by ``factor``."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def A(self, x):
        return x[..., 1:] + 2 * x[..., :-1]

    def A_adjoint(self, y):
        pad = torch.nn.functional.pad
        return self.factor * (pad(y, (1, 0)) + 2 * pad(y, (0, 1)))


def test_scipy_operators_become_ours():
    operator = MatrixFree(scipy.sparse.linalg.aslinearoperator(TABLE), domain_shape=(2, 4), codomain_shape=(3, 2))
    check("operator", operator)
    x = torch.randn(5, 2, 4, dtype=torch.float64)
    assert operator(x).reshape(5, 6).numpy() == pytest.approx(x.reshape(5, 8).numpy() @ TABLE.T)
    assert operator.norm_bound() == math.inf
    with pytest.raises(ShapeError, match="8 -> 6 numbers"):
        MatrixFree(scipy.sparse.linalg.aslinearoperator(TABLE), domain_shape=(3, 3))


def test_ours_become_scipys_and_come_back():
    gradient = Gradient((5, 4))
    scipys = to_scipy(gradient)
    largest = scipy.sparse.linalg.svds(scipys, k=1, return_singular_vectors=False)[0]
    assert 0.9 * gradient.norm_bound() < largest < gradient.norm_bound()
    back = MatrixFree(scipys, (5, 4), (2, 5, 4), bound=gradient.norm_bound())
    x = torch.randn(5, 4, dtype=torch.float64)
    assert back(x).equal(gradient(x))
    fourier = FourierSampling(torch.ones(3, 4))
    assert to_scipy(fourier, torch.float32).dtype == np.complex64
    check("operator", MatrixFree(to_scipy(fourier), (3, 4), (3, 4)))
    with pytest.raises(InputError, match="two real or two complex spaces"):
        to_scipy(AsComplex((3, 4)))
    with pytest.raises(InputError, match=r"got torch\.complex64"):
        to_scipy(fourier, torch.complex64)


@pytest.mark.parametrize("derive", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_a_physics_becomes_an_operator(shape, derive):
    operator = from_deepinv(Blur(), shape, derive_adjoint=derive)
    assert operator.codomain_shape == (*shape[:-1], 3)
    check("operator", operator)


def test_a_physics_with_a_bound_is_reconstructed_by_every_method_and_without_one_says_where_to_give_it():
    image = torch.zeros(8, 9)
    image[2:6, 3:7] = 1.0
    operator = from_deepinv(Blur(), (8, 9), bound=3.0)
    check("operator", operator)
    for method in ("cgls", "tv", "shearlet", "plug-and-play"):
        found = reconstruct(Observation(operator(image), operator, 0.01), method, iterations=60)
        assert float(found.residual.norm()) < 0.1 * float(operator(image).norm()), method
    unknown = from_deepinv(Blur(), (8, 9))
    for method in ("tv", "plug-and-play"):
        with pytest.raises(InputError, match=r"bound= where it wraps"):
            reconstruct(Observation(operator(image), unknown, 0.01), method)
    for bound in (-1.0, float("nan")):
        with pytest.raises(InputError, match="bound >= 0"):
            from_deepinv(Blur(), (8, 9), bound=bound)
        with pytest.raises(InputError, match="bound >= 0"):
            MatrixFree(to_scipy(Gradient((5, 4))), bound=bound)


class SingleBlur(Blur):
    """As DeepInverse's blurs and tomography are: its own numbers are of one precision, and it takes no other."""

    def __init__(self, precision):
        super().__init__()
        self.precision = precision

    def A(self, x):
        if x.dtype != self.precision:
            raise RuntimeError("expected scalar type Double but found Float")
        return super().A(x)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_physics_of_one_precision_is_reconstructed_and_certified_in_it(precision):
    operator = from_deepinv(SingleBlur(precision), (8, 9), bound=3.0)
    for given in (torch.float32, torch.float64):
        image = torch.randn(2, 8, 9, dtype=given, generator=torch.Generator().manual_seed(0))
        assert operator(image).dtype == operator.adjoint(operator(image)).dtype == given
        assert operator(image).allclose(from_deepinv(Blur(), (8, 9))(image), atol=1e-6)
    data = operator(torch.ones(8, 9))
    for measured in (operator, operator @ Gradient((8, 9)).H @ Gradient((8, 9))):
        found = reconstruct(Observation(measured(torch.ones(8, 9)) + 0.01 * data, measured, 0.05), "cgls", iterations=5)
        adjoint = found.certificates[0]
        assert adjoint.holds, adjoint
        assert ("single precision" in adjoint.claim) == (precision == torch.float32)
    assert (to_scipy(operator) @ np.ones(72)).shape == (64,)


def test_a_physics_that_takes_no_image_of_the_shape_says_so():
    class Fixed(Blur):
        def A(self, x):
            return x.reshape(-1, 1, 4, 4)

    with pytest.raises(InputError, match=r"from_deepinv\(Fixed\): expected .* got RuntimeError: .*Give the shape"):
        from_deepinv(Fixed(), (3, 5))


def test_a_wrong_adjoint_is_named_and_can_be_derived():
    with pytest.raises(InputError, match=r"from_deepinv\(Blur\): expected A_adjoint to be the adjoint.*derive_adjoint"):
        from_deepinv(Blur(factor=1.01), (3, 4))
    check("operator", from_deepinv(Blur(factor=1.01), (3, 4), derive_adjoint=True))


class DetachedBlur(Blur):
    """Autograd sees another map than the one that is applied, so its derivative is no adjoint either."""

    def A(self, x):
        return super().A(x.detach()) + 0 * x[..., 1:]


def test_a_derivative_that_is_no_adjoint_is_named_too():
    with pytest.raises(InputError, match="repair the physics"):
        from_deepinv(DetachedBlur(), (3, 4), derive_adjoint=True)


def test_an_operator_serves_as_physics():
    fine = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    physics = as_deepinv(Downsampling((8, 8), 2), max_iter=80, tol=1e-12)
    y = physics(fine)
    assert y.shape == (2, 3, 4, 4)
    assert physics.A_dagger(y).allclose(physics.A_adjoint(y))  # rows are orthonormal
    assert physics.A(physics.A_dagger(y, x_init=fine + 1)).allclose(y)
    z, gamma = torch.ones_like(fine), 0.7
    x = physics.prox_l2(z, y, gamma)
    assert float((gamma * physics.A_adjoint(physics.A(x) - y) + x - z).abs().max()) < 1e-10
    assert physics.A_vjp(fine, y).equal(physics.A_adjoint(y))
    assert physics.A_adjoint_A(fine).allclose(physics.A_adjoint(physics.A(fine)))
    assert physics.A_A_adjoint(y).allclose(y)
    assert float(physics.compute_sqnorm()) == 1.0
    assert physics.img_size == (1, 8, 8)


def test_noise_and_gradients_go_through_the_physics():
    physics = as_deepinv(Gradient((4, 4)), lambda y: y + 1, max_iter=60, tol=1e-10)
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    assert float(physics(x).min()) == float(physics.noise(physics.sensor(physics.A(x))).max()) == 1.0
    y = torch.randn(1, 1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda data: physics.prox_l2(x, data, 2.0), (y,))
    assert torch.autograd.gradcheck(physics.A_dagger, (y,), atol=1e-4)


def test_complex_physics_recovers_a_coil_image():
    maps = birdcage_maps(5, (8, 8))
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:, ::2] = True
    physics = as_deepinv(FourierSampling(mask) @ CoilSensitivities(maps), max_iter=200, tol=1e-11)
    image = torch.randn(1, 1, 8, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    assert float((physics.A_dagger(physics.A(image)) - image).norm() / image.norm()) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_the_real_deepinverse_both_ways():
    deepinv = pytest.importorskip("deepinv")
    blur = deepinv.physics.Blur(filter=deepinv.physics.blur.gaussian_blur(sigma=1.0), padding="circular")
    operator = from_deepinv(blur, (12, 12))
    image = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(3))
    assert operator(image).allclose(blur.A(image))
    physics = as_deepinv(operator, deepinv.physics.GaussianNoise(0.01))
    theirs = deepinv.physics.LinearPhysics(A=physics.A, A_adjoint=physics.A_adjoint, img_size=(1, 12, 12))
    assert float(theirs.adjointness_test(image)) < 1e-5
    rebuilt = deepinv.optim.L2().prox(image, physics(image), physics, gamma=1.0)
    assert float((rebuilt - image).norm() / image.norm()) < 0.1


def test_real_operators_take_complex_vectors_of_scipy_as_its_matrices_do():
    operator = Gradient((3, 4))
    vector = np.arange(12.0) * (1 - 2j) + 1j
    product = to_scipy(operator) @ vector
    exact = [
        operator(torch.from_numpy(part.copy()).reshape(3, 4)).ravel().numpy() for part in (vector.real, vector.imag)
    ]
    assert product == pytest.approx(exact[0] + 1j * exact[1])


@pytest.mark.filterwarnings("ignore:Sparse CS")
def test_matrices_of_every_sparse_layout_are_taken():
    table = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    for sparse in (table.to_sparse(), table.to_sparse_csr(), table.to_sparse_csc()):
        assert MatrixOperator(sparse)(torch.tensor([1.0, 2.0, 3.0])).tolist() == [7.0, 6.0]


def test_physics_that_cannot_be_taken_says_why():
    class ComplexPhysics:
        def A(self, x):
            return torch.complex(x, x)

        def A_adjoint(self, y):
            return y.real + y.imag

    with pytest.raises(InputError, match=r"real measurements, got torch\.complex64"):
        from_deepinv(ComplexPhysics(), (3, 4))
    with pytest.raises(InputError, match="A and A_adjoint, got object"):
        from_deepinv(object(), (3, 4))


def test_the_proximal_map_of_a_physics_without_a_step_stays():
    physics = as_deepinv(Gradient((3, 4)))
    z = torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(physics.prox_l2(z, physics(z) + 1, 0.0), z)
    with pytest.raises(InputError, match="gamma >= 0"):
        physics.prox_l2(z, physics(z), -1.0)
