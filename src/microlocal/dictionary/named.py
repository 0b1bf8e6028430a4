"""The rows of the dictionary: named nonlinearities with all four faces in closed form.

Each has one parameter, the contrast λ > 0 in the unit of s: below it the signal is smoothed, above it edges are kept.
Shrinkage functions are for h = 1 and τ = 1/4, with the threshold θ = λ/√2 where there is one.

Reference: Alt, Weickert, Peter (2020), Table 3.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.registry import lookup, register
from microlocal.dictionary.nonlinearity import Formulas, Nonlinearity

KIND = "nonlinearity"


def _sample(name: str) -> Callable[[], list[Nonlinearity]]:
    return lambda: [nonlinearity(name, 0.7)]


def nonlinearity(name: str, contrast: float = 1.0) -> Nonlinearity:
    """Return the row called ``name`` with contrast λ.

    Raises UnknownNameError listing the rows, InputError where λ is not positive.

    >>> nonlinearity("charbonnier", 2.0).diffusivity(torch.tensor([0.0, 2.0])).tolist()
    [1.0, 0.7071067690849304]
    """
    row: Nonlinearity = lookup(KIND, name, "nonlinearity").member(positive(contrast, "contrast", "nonlinearity"))
    return replace(row, contrast=float(contrast))


@register(KIND, "whittaker-tikhonov", samples=_sample("whittaker-tikhonov"), reference="whittaker1923")
def whittaker_tikhonov(contrast: float = 1.0) -> Nonlinearity:
    """Homogeneous diffusion: everything is smoothed alike; λ plays no part."""
    del contrast
    formulas = Formulas(
        "1", "s²", "0", "s",
        {"diffusivity": "constant", "regulariser": "Whittaker-Tikhonov", "activation": "identity"}, "regulariser",
    )  # fmt: skip
    return Nonlinearity("whittaker-tikhonov", lambda s: s.clone(), torch.ones_like, torch.square, formulas)


@register(KIND, "charbonnier", samples=_sample("charbonnier"), reference="charbonnier1997")
def charbonnier(contrast: float = 1.0) -> Nonlinearity:
    """Smooth total variation: convex, edges are smoothed less."""
    formulas = Formulas(
        "1/√(1 + s²/λ²)", "2 λ² (√(1 + s²/λ²) - 1)", "r (1 - 1/√(1 + 2 r²/λ²))", "s/√(1 + s²/λ²)",
        {"diffusivity": "Charbonnier", "regulariser": "Charbonnier"}, "diffusivity",
    )  # fmt: skip

    def psi(s: Tensor) -> Tensor:  # 2λ² (√(1+q) - 1) without the difference, which loses digits for small s
        return 2 * s.square() / (1 + (1 + (s / contrast).square()).sqrt())

    return Nonlinearity(
        "charbonnier",
        lambda s: s / (1 + (s / contrast).square()).sqrt(),
        lambda s: (1 + (s / contrast).square()).rsqrt(),
        psi,
        formulas,
    )


@register(KIND, "soft", samples=_sample("soft"), reference="donoho1995")
def soft(contrast: float = 1.0) -> Nonlinearity:
    """Soft shrinkage, the Huber regulariser, truncated total variation."""
    formulas = Formulas(
        "1 if |s| <= λ else λ/|s|", "s² if |s| <= λ else 2 λ |s| - λ²",
        "0 if |r| <= θ else r - θ sign(r)", "s if |s| <= λ else λ sign(s)",
        {"diffusivity": "truncated TV", "regulariser": "Huber", "shrinkage": "soft"}, "shrinkage",
    )  # fmt: skip
    return Nonlinearity(
        "soft",
        lambda s: s.clamp(-contrast, contrast),
        lambda s: contrast / s.abs().clamp_min(contrast),
        lambda s: torch.where(s.abs() <= contrast, s.square(), 2 * contrast * s.abs() - contrast**2),
        formulas,
    )


@register(KIND, "perona-malik", samples=_sample("perona-malik"), reference="perona1990")
def perona_malik(contrast: float = 1.0) -> Nonlinearity:
    """Perona-Malik diffusion with the exponential diffusivity: edges beyond λ are sharpened."""
    formulas = Formulas(
        "exp(-s²/(2 λ²))", "2 λ² (1 - exp(-s²/(2 λ²)))", "r (1 - exp(-r²/λ²))", "s exp(-s²/(2 λ²))",
        {"diffusivity": "exponential Perona-Malik"}, "diffusivity",
    )  # fmt: skip
    return Nonlinearity(
        "perona-malik",
        lambda s: s * torch.exp(-(s / contrast).square() / 2),
        lambda s: torch.exp(-(s / contrast).square() / 2),
        lambda s: -2 * contrast**2 * torch.expm1(-(s / contrast).square() / 2),
        formulas,
    )


@register(KIND, "perona-malik-rational", samples=_sample("perona-malik-rational"), reference="perona1990")
def perona_malik_rational(contrast: float = 1.0) -> Nonlinearity:
    """Perona-Malik diffusion with the rational diffusivity: edges beyond λ are sharpened, gently."""
    formulas = Formulas(
        "1/(1 + s²/λ²)", "λ² log(1 + s²/λ²)", "2 r³/(λ² + 2 r²)", "s/(1 + s²/λ²)",
        {"diffusivity": "rational Perona-Malik", "regulariser": "Lorentzian"}, "diffusivity",
    )  # fmt: skip
    return Nonlinearity(
        "perona-malik-rational",
        lambda s: s / (1 + (s / contrast).square()),
        lambda s: 1 / (1 + (s / contrast).square()),
        lambda s: contrast**2 * torch.log1p((s / contrast).square()),
        formulas,
    )


@register(KIND, "garrote", samples=_sample("garrote"), reference="gao1998")
def garrote(contrast: float = 1.0) -> Nonlinearity:
    """Garrote shrinkage, truncated balanced forward-backward diffusion."""
    formulas = Formulas(
        "1 if |s| <= λ else λ²/s²", "s² if |s| <= λ else λ² (1 + log(s²/λ²))",
        "0 if |r| <= θ else r - θ²/r", "s if |s| <= λ else λ²/s",
        {"diffusivity": "truncated BFB", "shrinkage": "garrote"}, "shrinkage",
    )  # fmt: skip

    def large(s: Tensor) -> Tensor:
        return s.abs().clamp_min(contrast)

    return Nonlinearity(
        "garrote",
        lambda s: torch.where(s.abs() <= contrast, s, s * (contrast / large(s)).square()),
        lambda s: (contrast / large(s)).square(),
        lambda s: torch.where(s.abs() <= contrast, s.square(), contrast**2 * (1 + 2 * torch.log(large(s) / contrast))),
        formulas,
    )


@register(KIND, "hard", samples=_sample("hard"), reference="geman1984")
def hard(contrast: float = 1.0) -> Nonlinearity:
    """Hard shrinkage, the truncated quadratic regulariser of the weak string."""
    formulas = Formulas(
        "1 if |s| <= λ else 0", "s² if |s| <= λ else λ²", "0 if |r| <= θ else r", "s if |s| <= λ else 0",
        {"regulariser": "truncated quadratic", "shrinkage": "hard"}, "shrinkage",
    )  # fmt: skip
    return Nonlinearity(
        "hard",
        lambda s: torch.where(s.abs() <= contrast, s, 0.0),
        lambda s: (s.abs() <= contrast).to(s),
        lambda s: s.square().clamp(max=contrast**2),
        formulas,
    )


@register(KIND, "tv", samples=_sample("tv"), reference="rudin1992")
def total_variation(contrast: float = 1.0) -> Nonlinearity:
    """Total variation, the limit of row soft for edges far above λ: g grows without bound at 0, no step is stable."""
    formulas = Formulas(
        "λ/|s|", "2 λ |s|", "r - θ sign(r)", "λ sign(s)",
        {"diffusivity": "TV", "regulariser": "TV", "activation": "sign"}, "regulariser",
    )  # fmt: skip
    return Nonlinearity(
        "tv", lambda s: contrast * s.sign(), lambda s: contrast / s.abs(), lambda s: 2 * contrast * s.abs(), formulas
    )


@register(KIND, "bfb", samples=_sample("bfb"), reference="keeling2002")
def balanced_forward_backward(contrast: float = 1.0) -> Nonlinearity:
    """Balanced forward-backward diffusion, the limit of row garrote: Ψ is -∞ at 0 and is taken from λ on instead."""
    formulas = Formulas(
        "λ²/s²", "λ² log(s²/λ²)", "r - θ²/r", "λ²/s",
        {"diffusivity": "BFB"}, "diffusivity",
    )  # fmt: skip
    return Nonlinearity(
        "bfb",
        lambda s: torch.where(s == 0, 0.0, contrast**2 / s),
        lambda s: (contrast / s).square(),
        lambda s: 2 * contrast**2 * torch.log(s.abs() / contrast),
        formulas,
    )
