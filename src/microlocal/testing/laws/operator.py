"""The laws of linear operators, real and complex."""

import hashlib
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from microlocal.certificates.operators import ADJOINT_GAP
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import norm_estimate
from microlocal.operators.spaces import draw, in_codomain, in_domain, inner
from microlocal.testing.violation import LawViolation, expect


def _input(operator: LinearOperator, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return draw(operator, generator(seed), dtype)


def _output(operator: LinearOperator, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return draw(operator.H, generator(seed), dtype)


def forward_is_linear(operator: LinearOperator) -> None:
    """A(a x - 3 y) = a A x - 3 A y, for complex a too where domain and codomain are complex."""
    x, y = _input(operator, 1), _input(operator, 2)
    factors = (2.0, 2.0 + 1.5j) if operator.domain_complex and operator.codomain_complex else (2.0,)
    for a in factors:
        gap = (operator(a * x - 3 * y) - a * operator(x) + 3 * operator(y)).norm()
        allowed = 1e-10 * float(operator(x).norm() + 1)
        expect(float(gap) <= allowed, f"{_name(operator)} is off linear by {float(gap):.3g} with the factor {a}")


def adjoint_matches_inner_product(operator: LinearOperator) -> None:
    """Re <A x, y> = Re <x, A* y>, normalised by the norms, in both precisions."""
    for dtype, allowed in ADJOINT_GAP.items():
        x, y = _input(operator, 3, dtype), _output(operator, 4, dtype)
        image, back = operator(x), operator.adjoint(y)
        left, right = inner(image, y), inner(x, back)
        gap = abs(left - right) / max(float(image.norm() * y.norm()), 1e-300)
        factor = right / left if left else float("nan")
        expect(
            gap <= allowed, f"{_name(operator)} {dtype}: gap {gap:.3g}; the adjoint is {factor:.4g} times the true one"
        )


def backward_is_the_adjoint(operator: LinearOperator) -> None:
    """The gradient of Re <A x, y> in x is A* y, and that of Re <A* y, x> in y is A x."""
    x, y = _input(operator, 5).requires_grad_(), _output(operator, 6)
    (gradient,) = torch.autograd.grad((operator(x) * y.conj()).sum().real, x)
    gap = float((gradient - operator.adjoint(y)).norm()) / max(float(gradient.norm()), 1e-300)
    expect(gap <= 1e-10, f"{_name(operator)}: autograd differs from the adjoint by {gap:.3g}")
    y.requires_grad_()
    (pulled,) = torch.autograd.grad((operator.adjoint(y) * x.detach().conj()).sum().real, y)
    gap = float((pulled - operator(x.detach())).norm()) / max(float(pulled.norm()), 1e-300)
    expect(gap <= 1e-10, f"{_name(operator)}: the adjoint's autograd differs from forward by {gap:.3g}")


def function_transforms_agree(operator: LinearOperator) -> None:
    """torch.func takes A as a function: jvp gives A v, and vmap what a batch gives."""
    x, v = _input(operator, 13), _input(operator, 14)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch compiles its own rules with torch.jit
            slope = torch.func.jvp(operator, (x,), (v,))[1]
        mapped = torch.func.vmap(operator)(torch.stack((x, v)))
    except RuntimeError as error:
        raise LawViolation(f"{_name(operator)} cannot be used in torch.func: {error}") from error
    images = torch.stack((operator(x), operator(v)))
    for name, gap in (("jvp", slope - images[1]), ("vmap", mapped - images)):
        allowed = 1e-10 * float(images.norm() + 1)
        expect(float(gap.norm()) <= allowed, f"{_name(operator)}: torch.func.{name} is off by {float(gap.norm()):.3g}")


def batches_are_independent(operator: LinearOperator) -> None:
    """Any leading axes are kept, and each image is treated as if alone."""
    x = draw(operator, generator(7), batch=(2, 3))
    together = operator(x)
    expect(
        tuple(together.shape) == (2, 3, *operator.codomain_shape), f"{_name(operator)}: batch became {together.shape}"
    )
    alone = operator(x[1, 2])
    gap = float((together[1, 2] - alone).norm()) / max(float(alone.norm()), 1e-300)
    expect(gap <= 1e-12, f"{_name(operator)}: an image in a batch differs by {gap:.3g}")
    back = operator.adjoint(together)
    expect(tuple(back.shape) == tuple(x.shape), f"{_name(operator)}: the adjoint's batch became {tuple(back.shape)}")


def an_empty_batch_stays_empty(operator: LinearOperator) -> None:
    """No image in, no image out, forward and adjoint: the last batch of a filtered list."""
    x, y = (draw(a, generator(12), batch=(0,)) for a in (operator, operator.H))
    got = tuple(operator(x).shape), tuple(operator.adjoint(y).shape)
    expect(got == (tuple(y.shape), tuple(x.shape)), f"{_name(operator)}: an empty batch became {got}")


def precision_is_kept(operator: LinearOperator) -> None:
    """float32 or complex64 in, float32 or complex64 out, as declared, and likewise in double precision."""
    for precision in (torch.float32, torch.float64):
        image = operator(_input(operator, 8, precision))
        back = operator.adjoint(_output(operator, 8, precision))
        got, declared = (image.dtype, back.dtype), (in_codomain(operator, precision), in_domain(operator, precision))
        expect(got == declared, f"{_name(operator)}: {precision} gave {got}, declared {declared}")


def lazy_views_are_taken(operator: LinearOperator) -> None:
    """Tensors that torch negates or conjugates only when read, as z.conj().imag, give what their copies give."""
    x, y = _input(operator, 15), _output(operator, 16)
    lazy_x, lazy_y, source = _lazy(x), _lazy(y), x.clone().requires_grad_()
    try:
        got = operator(lazy_x), operator.adjoint(lazy_y), torch.autograd.grad(operator(source), source, lazy_y)[0]
    except RuntimeError as error:
        raise LawViolation(f"{_name(operator)} refuses a view that is negated or conjugated: {error}") from error
    for image, wanted in zip(got, (operator(x), operator.adjoint(y), operator.adjoint(y)), strict=True):
        gap = float((image - wanted).norm()) / max(float(wanted.norm()), 1e-300)
        expect(gap <= 1e-10, f"{_name(operator)}: a view that is negated or conjugated differs by {gap:.3g}")


def nothing_is_modified(operator: LinearOperator) -> None:
    """Neither the input nor the operator's own tensors change."""
    x, y = _input(operator, 9), _output(operator, 10)
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
    x, size = _input(operator, 11), 0.0
    for _ in range(60):
        x = x / x.norm().clamp_min(1e-300)
        image = sigma * operator(tau * x)
        size = float(image.norm())
        x = tau * operator.adjoint(sigma * image)
    expect(size <= 1 + 1e-9, f"{_name(operator)}: the scaled norm reached {size:.6g}")


def wrong_shape_is_refused(operator: LinearOperator) -> None:
    """A last axis that is one too long raises ShapeError that names both shapes, forward and adjoint."""
    spaces = ((operator.domain_shape, in_domain(operator)), (operator.codomain_shape, in_codomain(operator)))
    for call, (shape, dtype) in zip(_both_ways(operator), spaces, strict=True):
        wrong = (*shape[:-1], shape[-1] + 1)
        try:
            call(torch.zeros(wrong, dtype=dtype))
        except ShapeError as error:
            expect(str(shape[-1]) in str(error) and str(wrong[-1]) in str(error), f"the message hides a shape: {error}")
        else:
            raise LawViolation(f"{_name(operator)} accepted {wrong} instead of {shape}")


def wrong_numbers_are_refused(operator: LinearOperator) -> None:
    """Integers, and complex numbers for real ones or the reverse, raise InputError that says what to do."""
    spaces = ((operator.domain_shape, operator.domain_complex), (operator.codomain_shape, operator.codomain_complex))
    for call, (shape, is_complex) in zip(_both_ways(operator), spaces, strict=True):
        for dtype in (torch.int64, torch.float64 if is_complex else torch.complex128):
            try:
                call(torch.zeros(shape, dtype=dtype))
            except InputError as error:
                expect(str(dtype) in str(error) and bool(error.do), f"the message hides the dtype: {error}")
            else:
                raise LawViolation(f"{_name(operator)} accepted {dtype}")


def _lazy(x: Tensor) -> Tensor:
    """Return the values of ``x`` as a view that torch has yet to conjugate (complex) or to negate (real)."""
    if x.is_complex():
        return x.conj().resolve_conj().conj()
    return torch.complex(torch.zeros_like(x), -x).conj().imag


def _both_ways(operator: LinearOperator) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    return operator, operator.adjoint


def _fingerprint(operator: LinearOperator) -> str:
    digest = hashlib.sha256()
    for name, tensor in (*operator.named_buffers(), *operator.named_parameters()):
        digest.update(name.encode() + tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _name(operator: LinearOperator) -> str:
    return f"{type(operator).__name__}{operator.domain_shape}"


LAWS = (
    forward_is_linear,
    adjoint_matches_inner_product,
    backward_is_the_adjoint,
    function_transforms_agree,
    batches_are_independent,
    an_empty_batch_stays_empty,
    precision_is_kept,
    lazy_views_are_taken,
    nothing_is_modified,
    norm_bound_is_a_bound,
    steps_are_valid,
    wrong_shape_is_refused,
    wrong_numbers_are_refused,
)
