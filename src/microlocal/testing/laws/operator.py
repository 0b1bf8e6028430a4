"""The laws of linear operators."""

import hashlib

import torch
from torch import Tensor

from microlocal.certificates.operators import ADJOINT_GAP
from microlocal.core.errors import ShapeError
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import norm_estimate
from microlocal.testing.violation import LawViolation, expect


def _draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=generator(seed))


def forward_is_linear(operator: LinearOperator) -> None:
    """A(2 x - 3 y) = 2 A x - 3 A y."""
    x, y = _draw(operator.domain_shape, 1), _draw(operator.domain_shape, 2)
    gap = (operator(2 * x - 3 * y) - 2 * operator(x) + 3 * operator(y)).norm()
    expect(float(gap) <= 1e-10 * float(operator(x).norm() + 1), f"{_name(operator)} is off linear by {float(gap):.3g}")


def adjoint_matches_inner_product(operator: LinearOperator) -> None:
    """<A x, y> = <x, A* y>, normalised by the norms, in both precisions."""
    for dtype, allowed in ADJOINT_GAP.items():
        x, y = _draw(operator.domain_shape, 3, dtype), _draw(operator.codomain_shape, 4, dtype)
        image, back = operator(x).double(), operator.adjoint(y).double()
        left, right = float((image * y).sum()), float((x * back).sum())
        gap = abs(left - right) / max(float(image.norm() * y.norm()), 1e-300)
        factor = right / left if left else float("nan")
        expect(
            gap <= allowed, f"{_name(operator)} {dtype}: gap {gap:.3g}; the adjoint is {factor:.4g} times the true one"
        )


def backward_is_the_adjoint(operator: LinearOperator) -> None:
    """The gradient of <A x, y> in x is A* y, and gradcheck passes through forward and adjoint."""
    x, y = _draw(operator.domain_shape, 5).requires_grad_(), _draw(operator.codomain_shape, 6)
    (gradient,) = torch.autograd.grad((operator(x) * y).sum(), x)
    gap = float((gradient - operator.adjoint(y)).norm()) / max(float(gradient.norm()), 1e-300)
    expect(gap <= 1e-10, f"{_name(operator)}: autograd differs from the adjoint by {gap:.3g}")
    y.requires_grad_()
    (pulled,) = torch.autograd.grad((operator.adjoint(y) * x.detach()).sum(), y)
    gap = float((pulled - operator(x.detach())).norm()) / max(float(pulled.norm()), 1e-300)
    expect(gap <= 1e-10, f"{_name(operator)}: the adjoint's autograd differs from forward by {gap:.3g}")


def batches_are_independent(operator: LinearOperator) -> None:
    """Any leading axes are kept, and each image is treated as if alone."""
    x = _draw((2, 3, *operator.domain_shape), 7)
    together = operator(x)
    expect(
        tuple(together.shape) == (2, 3, *operator.codomain_shape), f"{_name(operator)}: batch became {together.shape}"
    )
    alone = operator(x[1, 2])
    gap = float((together[1, 2] - alone).norm()) / max(float(alone.norm()), 1e-300)
    expect(gap <= 1e-12, f"{_name(operator)}: an image in a batch differs by {gap:.3g}")
    back = operator.adjoint(together)
    expect(tuple(back.shape) == tuple(x.shape), f"{_name(operator)}: the adjoint's batch became {tuple(back.shape)}")


def precision_is_kept(operator: LinearOperator) -> None:
    """float32 in, float32 out, and likewise float64."""
    for dtype in (torch.float32, torch.float64):
        image = operator(_draw(operator.domain_shape, 8, dtype))
        back = operator.adjoint(image)
        got = (image.dtype, back.dtype)
        expect(got == (dtype, dtype), f"{_name(operator)}: {dtype} became {got}")


def nothing_is_modified(operator: LinearOperator) -> None:
    """Neither the input nor the operator's own tensors change."""
    x, y = _draw(operator.domain_shape, 9), _draw(operator.codomain_shape, 10)
    before, kept = _fingerprint(operator), (x.clone(), y.clone())
    operator(x)
    operator.adjoint(y)
    expect(bool((x == kept[0]).all() and (y == kept[1]).all()), f"{_name(operator)} wrote into its input")
    expect(_fingerprint(operator) == before, f"{_name(operator)} changed its own tensors")


def norm_bound_is_a_bound(operator: LinearOperator) -> None:
    """No image gains more than the declared norm."""
    estimate, bound = norm_estimate(operator, iterations=100), operator.norm_bound()
    expect(estimate <= bound * (1 + 1e-9), f"{_name(operator)}: reached {estimate:.6g}, declared {bound:.6g}")


def steps_are_valid(operator: LinearOperator) -> None:
    """|Σ^½ A T^½| <= 1 for the declared steps, on which primal-dual solvers rest."""
    sigma, tau = (torch.as_tensor(s, dtype=torch.float64).sqrt() for s in operator.step_sizes())
    x, size = _draw(operator.domain_shape, 11), 0.0
    for _ in range(60):
        x = x / x.norm().clamp_min(1e-300)
        image = sigma * operator(tau * x)
        size = float(image.norm())
        x = tau * operator.adjoint(sigma * image)
    expect(size <= 1 + 1e-9, f"{_name(operator)}: the scaled norm reached {size:.6g}")


def wrong_shape_is_refused(operator: LinearOperator) -> None:
    """A last axis that is one too long raises ShapeError that names both shapes, forward and adjoint."""
    for call, shape in ((operator, operator.domain_shape), (operator.adjoint, operator.codomain_shape)):
        wrong = (*shape[:-1], shape[-1] + 1)
        try:
            call(torch.zeros(wrong, dtype=torch.float64))
        except ShapeError as error:
            expect(str(shape[-1]) in str(error) and str(wrong[-1]) in str(error), f"the message hides a shape: {error}")
        else:
            raise LawViolation(f"{_name(operator)} accepted {wrong} instead of {shape}")


def _fingerprint(operator: LinearOperator) -> str:
    digest = hashlib.sha256()
    for name, tensor in (*operator.named_buffers(), *operator.named_parameters()):
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _name(operator: LinearOperator) -> str:
    return f"{type(operator).__name__}{operator.domain_shape}"


LAWS = (
    forward_is_linear,
    adjoint_matches_inner_product,
    backward_is_the_adjoint,
    batches_are_independent,
    precision_is_kept,
    nothing_is_modified,
    norm_bound_is_a_bound,
    steps_are_valid,
    wrong_shape_is_refused,
)
