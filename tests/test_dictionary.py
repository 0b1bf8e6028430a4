"""The dictionary: closed forms of the tables, what is derived, Theorem 2, and the way to a minimiser."""

import math
import runpy
from pathlib import Path

import matplotlib.image
import mpmath
import numpy as np
import pytest
import sympy
import torch
from cli_help import answer, run, said
from scipy.optimize import root
from torch.nn import functional
from typer.testing import CliRunner

from microlocal.cli.app import app
from microlocal.core import InputError
from microlocal.core.errors import UnknownNameError
from microlocal.core.registry import registered
from microlocal.core.seeding import generator
from microlocal.dictionary import (
    diffuse,
    diffused,
    diffusion_step,
    facts,
    from_activation,
    from_diffusivity,
    from_regulariser,
    from_shrinkage,
    largest_step,
    nonlinearity,
    rows,
)
from microlocal.dictionary.latex import latex, parsed

DOCS = Path(__file__).resolve().parents[1] / "docs"
TRUNCATED = ["whittaker-tikhonov", "charbonnier", "soft", "perona-malik", "perona-malik-rational", "garrote", "hard"]
ALL = [*TRUNCATED, "tv", "bfb"]
FACES = ("diffusivity", "regulariser", "shrinkage", "activation")
S = torch.cat([torch.linspace(-5, 5, 400, dtype=torch.float64), torch.logspace(-6, 3, 40, dtype=torch.float64)])


def _relative(one, other):
    return float(((one - other).abs() / torch.maximum(one.abs(), other.abs()).clamp_min(1e-300)).max())


def test_these_are_the_rows():
    assert list(registered("nonlinearity")) == ALL
    with pytest.raises(UnknownNameError, match="Did you mean 'garrote'"):
        nonlinearity("garotte")
    with pytest.raises(InputError, match="contrast"):
        nonlinearity("soft", 0.0)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ALL)
def test_every_face_is_its_formula(name, face):
    entry = nonlinearity(name, 1.3)
    symbols = {str(a): a for a in parsed("s r λ θ").free_symbols}
    values = {symbols["lamda"]: sympy.Rational(13, 10), symbols["theta"]: sympy.Rational(13, 10) / sympy.sqrt(2)}
    expression = parsed(getattr(entry.formulas, face)).subs(values)
    closed = sympy.lambdify(symbols["r" if face == "shrinkage" else "s"], expression, "mpmath")
    with mpmath.workdps(40):
        expected = torch.tensor([float(closed(mpmath.mpf(float(s)))) for s in S], dtype=torch.float64)
    found = getattr(entry, face)(S)
    size = S.abs() if face == "shrinkage" else torch.zeros(())  # a difference: its rounding errors are those of r
    off = (found - expected).abs() / torch.maximum(expected.abs(), size).clamp_min(1e-300)
    assert float(torch.where(found == expected, 0.0, off).max()) < 1e-12


@pytest.mark.parametrize("name", [n for n in ALL if n != "bfb"])
@pytest.mark.parametrize("way", [from_diffusivity, from_regulariser, from_shrinkage, from_activation])
def test_from_any_face_the_other_three(name, way):
    entry = nonlinearity(name, 0.8)
    given = {
        from_diffusivity: entry.diffusivity,
        from_regulariser: entry.regulariser_of,
        from_shrinkage: entry.shrinkage,
        from_activation: entry.activation,
    }[way]
    own = way(given)
    places = torch.tensor([1e-3, 0.1, 0.5, 0.79, 0.81, 1.5, 20.0], dtype=torch.float64)
    s = torch.cat((-places, places))
    assert _relative(own.regulariser(s), entry.regulariser(s)) < max(1e-9, 10 * own.error)
    for face in ("diffusivity", "activation"):
        unit = float(getattr(entry, face)(s).abs().max())
        assert float((getattr(own, face)(s) - getattr(entry, face)(s)).abs().max()) < 1e-12 * max(unit, 1.0)
    assert float((own.shrinkage(s) - entry.shrinkage(s)).abs().max()) < 1e-12 * 20


def test_shrinkage_for_other_steps_and_grids_is_read_back():
    entry = nonlinearity("perona-malik", 0.8)
    own = from_shrinkage(lambda r: entry.shrinkage(r, 0.1, 0.5), 0.1, 0.5)
    assert float((own.activation(S) - entry.activation(S)).abs().max()) < 1e-12


def test_a_regulariser_of_ones_own_can_be_trained_through():
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    own = from_regulariser(lambda s: weight * s**2)
    s = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    own.activation(s).sum().backward()
    assert weight.grad.item() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("way", "function", "told"),
    [
        (from_activation, torch.relu, "an odd function"),
        (from_diffusivity, lambda s: 2 + torch.tanh(s), "an even function"),
        (from_diffusivity, lambda s: torch.log(s - 1), "finite values"),
        (from_shrinkage, lambda r: r + 1, "an odd function"),
        (from_regulariser, lambda s: s, "an even function"),
        (from_activation, "tanh", "'str' object is not callable"),
        (from_activation, math.tanh, "a function of torch operations"),
        (from_diffusivity, lambda s: 1.0, "got a float"),
        (from_diffusivity, lambda s: torch.ones(3), r"got shape \(3,\)"),
        (from_regulariser, lambda s: torch.from_numpy(s.numpy() ** 2), "slope of the regulariser own"),
    ],
)
def test_what_is_no_nonlinearity_is_refused(way, function, told):
    with pytest.raises(InputError, match=told):
        way(function)


# sup g, Lipschitz constant, (least, greatest) slope, convex: worked out by hand for λ = 2.
KNOWN = {
    "whittaker-tikhonov": (1, 1, (1, 1), True),
    "charbonnier": (1, 1, (0, 1), True),
    "soft": (1, 1, (0, 1), True),
    "perona-malik": (1, 1, (-2 * math.exp(-1.5), 1), False),
    "perona-malik-rational": (1, 1, (-1 / 8, 1), False),
    "garrote": (1, 1, (-1, 1), False),
    "hard": (1, math.inf, (0, 1), False),
    "tv": (math.inf, math.inf, (0, 0), True),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_follows_is_what_the_formulas_say(name):
    ratio, lipschitz, slopes, convex = KNOWN[name]
    found = facts(nonlinearity(name, 2.0))
    assert found.largest_ratio == pytest.approx(ratio, rel=1e-9)
    assert found.lipschitz == pytest.approx(lipschitz, rel=1e-9)
    assert found.slopes == pytest.approx(slopes, abs=1e-8)
    assert (found.convex, found.increasing) == (convex, convex)
    assert found.bounded == (ratio < math.inf)
    assert facts(nonlinearity(name)).turns == pytest.approx(tuple(s / 2 for s in found.turns))
    assert found.turns == (pytest.approx((2.0,)) if name.startswith(("perona", "garrote")) else ())
    assert found.jumps == (pytest.approx((2.0,)) if name == "hard" else ())


def test_facts_of_ones_own():
    wavy = facts(from_activation(lambda s: s * (1 + 0.5 * torch.cos(3 * s) * torch.exp(-s.square())), "wavy"))
    s = np.linspace(0, 6, 2_000_001)
    assert wavy.largest_ratio == pytest.approx(float((1 + 0.5 * np.cos(3 * s) * np.exp(-(s**2))).max()), rel=1e-9)
    assert wavy.slopes[0] == pytest.approx(
        float(np.gradient(s * (1 + 0.5 * np.cos(3 * s) * np.exp(-(s**2))), s).min()), rel=1e-5
    )
    assert wavy.max_min_step(2.0) == pytest.approx(4 / 3)
    root = facts(from_activation(lambda s: s.sign() * s.abs().sqrt(), "root"))
    assert (root.bounded, root.convex, root.max_min_step()) == (False, True, 0.0)
    assert facts(from_activation(torch.zeros_like, "nothing")).max_min_step() == math.inf
    backward = facts(from_activation(lambda s: -2 * s, "backward"))
    assert (backward.largest_ratio, backward.increasing) == (2.0, False)


# g >= 0, Φ increases, g is bounded, Lipschitz constant: worked out by hand.
GROWING = {
    "quartic": (from_regulariser(lambda s: s**4), (True, True, False, math.inf)),
    "double well": (from_regulariser(lambda s: s**4 - 100 * s**2), (False, False, False, math.inf)),
    "falls between": (from_activation(lambda s: s - 3 * s**3 + s**5), (False, False, False, math.inf)),  # Φ'(1) = -3
    "logarithm": (from_diffusivity(lambda s: 1 + torch.log1p(s.abs())), (True, True, False, math.inf)),
    "both ends": (from_diffusivity(lambda s: 1 / s.abs() + s.abs() - 2.5), (False, False, False, math.inf)),
    "sine": (from_activation(torch.sin), (False, False, True, 1.0)),
    "waves": (from_activation(lambda s: s + 0.5 * torch.sin(10 * s)), (False, False, True, 6.0)),  # g(0.448) < 0
    "chirp": (from_diffusivity(lambda s: 1 + 0.5 * torch.cos(9 * s)), (True, False, True, math.inf)),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_is_small_beside_the_largest_value_is_no_rounding(name):
    """Φ of the double well is -200 s near zero, and 2e27 at the end of the grid."""
    entry, known = GROWING[name]
    found = facts(entry)
    assert (found.nonnegative, found.convex, found.bounded) == known[:3]
    assert found.lipschitz == pytest.approx(known[3], rel=1e-6)
    assert found.jumps == ()
    assert (found.max_min_step() > 0) == (found.nonnegative and found.bounded)
    if not found.bounded:
        with pytest.raises(InputError, match="a bounded diffusivity"):
            diffuse(torch.eye(4), entry, 1.0)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("inside", "outside"), [(1.0, 2.0), (2.0, 1.0), (1.0, 0.99), (1.0, 0.0)])
def test_a_jump_within_a_flux_that_grows_is_seen(inside, outside, size):
    own = from_diffusivity(lambda s: size * torch.where(s.abs() < 3, inside, outside).to(s))
    found = facts(own)
    assert found.jumps == pytest.approx((3.0,))
    assert (found.lipschitz, found.convex) == (math.inf, outside > inside)
    assert found.largest_ratio == pytest.approx(size * max(inside, outside))


@pytest.mark.parametrize("edge", [2000.0, 1e-5])
def test_facts_of_what_is_not_a_number_somewhere_are_refused(edge):
    own = from_diffusivity(lambda s: torch.where((s.abs() < edge) == (edge < 1), math.nan, 1.0).to(s))
    with pytest.raises(InputError, match="facts of own: expected a number at every place, got nan"):
        facts(own)


def test_the_domain_ends_where_the_range_of_numbers_does():
    found = facts(from_diffusivity(lambda s: torch.cosh(s / 10)))
    limits = [float(found.domain[face].removeprefix("|s| <= ")) for face in ("diffusivity", "regulariser")]
    assert 7050 < limits[0] < 10 * math.acosh(1.7e308)
    assert 6850 < limits[1] < limits[0]


@pytest.mark.parametrize(
    "psi",
    [
        lambda s: torch.where(s.abs() > 1, 1 + 0 * s, 0 * s),
        lambda s: torch.where(s.abs() > 1, 2 + 0 * s, s**2),
        lambda s: torch.where(s != 0, 1 + 0 * s, 0 * s),
        lambda s: s.abs().floor() + 0 * s,
        lambda s: s.detach() ** 2 + s**2,
    ],
    ids=["edges above one", "a jump at the truncation", "edges", "steps", "half of it unseen by autograd"],
)
def test_a_regulariser_that_is_not_the_integral_of_its_slope_is_refused(psi):
    """Autograd finds a slope of zero beside the jumps, of which all else would follow: g = 0, any step stable."""
    with pytest.raises(InputError, match="the integral of its slope"):
        from_regulariser(psi)


@pytest.mark.parametrize(
    "psi",
    [
        lambda s: s.abs() ** 0.05,
        lambda s: torch.log(1e-30 + s**2),
        lambda s: 1e12 + s**2,
        lambda s: s**2 + torch.cos(50 * s),
        lambda s: 1 - torch.exp(-1e16 * s**2),
        lambda s: torch.minimum(s**2, torch.ones_like(s)),
        lambda s: s**20,
    ],
    ids=["steep", "a pit", "an offset", "waves", "narrow", "truncated", "flat"],
)
def test_what_is_continuous_is_no_jump(psi):
    assert from_regulariser(psi).error == 0.0


@pytest.mark.parametrize(
    ("entry", "diffusivity", "regulariser"),
    [
        (nonlinearity("soft"), "any s", "any s"),
        (nonlinearity("tv"), "s ≠ 0", "any s"),
        (nonlinearity("bfb", 2.0), "s ≠ 0", "s ≠ 0"),
        (from_activation(nonlinearity("bfb").activation), "s ≠ 0", "no s"),
        (from_activation(lambda s: s.sign() * s.abs().sqrt()), "s ≠ 0", "any s"),
    ],
    ids=["soft", "tv", "bfb", "own bfb", "root"],
)
def test_the_domain_of_every_face(entry, diffusivity, regulariser):
    found = facts(entry).domain
    assert (found["diffusivity"], found["regulariser"]) == (diffusivity, regulariser)
    assert (found["shrinkage"], found["activation"]) == ("any s", "any s")


def test_an_integral_that_diverges_is_infinite_and_so_is_its_error():
    own = from_activation(nonlinearity("bfb").activation)
    assert own.error == math.inf
    assert own.regulariser(torch.tensor([0.0, 1.0])).tolist() == [0.0, math.inf]
    steep = from_activation(lambda s: s.sign() * s.abs().clamp_min(1e-300) ** -0.5)  # Ψ = 4 √s
    assert steep.regulariser(torch.tensor([4.0], dtype=torch.float64)).item() == pytest.approx(8.0, rel=1e-3)
    assert steep.error < 0.1


@pytest.mark.parametrize("name", ["hard", "perona-malik", "soft"])
@pytest.mark.parametrize("contrast", [1e-6, 1e-4, 1e-3])
def test_the_error_of_an_integral_covers_what_is_small(name, contrast):
    entry = nonlinearity(name, contrast)
    for own in (from_activation(entry.activation), from_diffusivity(entry.diffusivity)):
        s = torch.tensor([1.0], dtype=torch.float64)
        assert _relative(own.regulariser(s), entry.regulariser(s)) <= max(own.error, 1e-9)


BACKWARD = {
    "everywhere": lambda s: -1 / (1 + s * s),
    "for large differences": lambda s: 2 * torch.exp(-s.square()) - torch.exp(-s.square() / 8),
}


@pytest.mark.parametrize("where", BACKWARD)
def test_no_step_is_stable_where_diffusion_runs_backward(where):
    entry, u = from_diffusivity(BACKWARD[where]), torch.tensor([0.0, 0, 3, 0, 0], dtype=torch.float64)
    found = facts(entry)
    assert (found.nonnegative, found.bounded, found.largest_ratio) == (False, True, pytest.approx(1.0))
    assert (found.max_min_step(), found.sign_step(), largest_step(entry)) == (0.0, 0.0, 0.0)
    short = diffusion_step(u, entry, 0.01)
    assert float(short.max()) > 3  # however short
    assert all(facts(nonlinearity(name)).nonnegative for name in ALL)
    image = u.expand(5, 5)
    for scheme in ("explicit", "fsi", "du-fort-frankel"):
        with pytest.raises(InputError, match="g >= 0, got own, which is negative somewhere"):
            diffuse(image, entry, 1.0, scheme=scheme)
    assert float(diffuse(image, entry, 0.01, steps=1).max()) > 3  # at one's own risk


@pytest.mark.parametrize("contrast", [1e-14, 1e-11, 1e-9, 1e9])
@pytest.mark.parametrize("name", ["soft", "perona-malik", "hard"])
def test_facts_have_the_unit_of_the_contrast(name, contrast):
    found, unit = facts(nonlinearity(name, contrast)), facts(nonlinearity(name))
    assert found.max_min_step() == pytest.approx(0.5)
    assert (found.turns, found.jumps) == tuple(pytest.approx(tuple(contrast * s for s in places), rel=1e-6, abs=0)
                                               for places in (unit.turns, unit.jumps))  # fmt: skip
    u = torch.rand(8, 8, dtype=torch.float64, generator=generator(0))
    diffused = diffuse(contrast * u, nonlinearity(name, contrast), 5.0) / contrast
    torch.testing.assert_close(diffused, diffuse(u, nonlinearity(name), 5.0), rtol=1e-9, atol=1e-9)
    assert 0 <= float(diffused.min()) <= float(diffused.max()) <= 1


def _changes(u):
    """How often the sign changes along each signal, zeros aside."""
    signs = [row[row != 0].sign() for row in u]
    return torch.tensor([int((row.diff() != 0).sum()) for row in signs])


def _signals():
    """Noise of three sizes, and alternating signals, for which the max-min bound is sharp."""
    noise = torch.randn(300, 24, dtype=torch.float64, generator=generator(0))
    alternating = torch.tensor([1.0, -1.0] * 12, dtype=torch.float64)
    sizes = torch.tensor([0.01, 0.1, 0.24, 0.3], dtype=torch.float64)
    return torch.cat((noise * 10.0 ** (torch.arange(300) % 3 - 1)[:, None], sizes[:, None] * alternating))


def _gains_signs(step):
    """A signal that gains changes of sign just above τ = 1/4 where g = 1, of differences below 0.2."""
    neighbours = torch.diag(torch.ones(59, dtype=torch.float64), 1)
    matrix = (1 - 2 * step) * torch.eye(60, dtype=torch.float64) + step * (neighbours + neighbours.T)
    k = next(k for k in range(1, 61) if torch.linalg.det(matrix[:k, :k]) < 0)
    alternating = torch.tensor([1.0, -1.0] * 30, dtype=torch.float64)[:k]
    inside = torch.linalg.solve(matrix[:k, :k], alternating)
    return functional.pad(0.1 * inside / inside.abs().max(), (2, 2))[None]


@pytest.mark.parametrize(("above", "pixels"), [(1.02, 15), (1.05, 11), (1.1, 9)])
@pytest.mark.parametrize("name", TRUNCATED)
def test_just_above_the_bound_signs_are_gained(name, above, pixels):
    entry, bound = nonlinearity(name, 100.0), facts(nonlinearity(name, 100.0)).sign_step()  # g = 1 but for rounding
    u = _gains_signs(above * bound)
    assert u.shape[1] == pixels

    def changes(step):
        found = diffusion_step(u, entry, step)
        return int(_changes(torch.where(found.abs() < 1e-14, 0.0, found)))

    assert max(changes(0.98 * bound), changes(bound)) <= int(_changes(u)) == pixels - 5
    assert changes(above * bound) == pixels - 3


@pytest.mark.parametrize("name", TRUNCATED)
def test_theorem_2_holds_up_to_its_bounds_and_not_above(name):
    entry, u = nonlinearity(name, 0.5), _signals()
    found, slack = facts(entry), 1e-12 * u.abs().amax(dim=1)
    for depth in (1, 30, 1000):
        stable = diffused(u, entry, depth * found.max_min_step(), depth)
        assert (stable.amax(dim=1) <= u.amax(dim=1) + slack).all()
        assert (stable.amin(dim=1) >= u.amin(dim=1) - slack).all()
    v = u
    for _ in range(100):
        smoother = diffusion_step(v, entry, found.sign_step() * (1 - 1e-12))
        clean = torch.where(smoother.abs() <= slack[:, None], 0.0, smoother)
        assert (_changes(clean) <= _changes(v)).all()
        v = clean
    over = diffusion_step(u, entry, 1.02 * found.max_min_step())
    assert (over.abs().amax(dim=1) > u.abs().amax(dim=1) + slack).any()


def _implicit(f, entry, alpha):
    """The minimiser of (u - f)²/2 + α/2 Ψ(u'): u - f = α (Φ(u'))', by root finding."""

    def gap(u):
        flux = np.pad(entry.activation(torch.from_numpy(np.diff(u))).numpy(), 1)
        return u - f - alpha * np.diff(flux)

    return root(gap, f, tol=1e-13).x


@pytest.mark.parametrize("name", ["charbonnier", "perona-malik", "soft"])
def test_explicit_steps_approach_the_minimisers_at_first_order(name):
    entry, alpha = nonlinearity(name, 0.7), 0.8
    f = torch.randn(12, dtype=torch.float64, generator=generator(4))
    gaps = []
    for m in (16, 32, 64):
        u = f.numpy()
        for _ in range(m):
            u = _implicit(u, entry, alpha / m)
        gaps.append(float(np.abs(diffused(f, entry, alpha, m).numpy() - u).max()))
    assert 1.7 < gaps[0] / gaps[1] < 2.3
    assert 1.7 < gaps[1] / gaps[2] < 2.3


def test_latex_has_every_row_and_the_best_known_names_in_bold():
    text = latex(rows())
    assert text.count(r"\textbf") == len(ALL)
    for best in ("Whittaker-Tikhonov", "Charbonnier", "soft", "garrote", "hard"):
        assert rf"\textbf{{{best}}}" in text
    assert text.count("{") == text.count("}")
    assert text.count("&") == 3 + sum(3 * 2 for _ in ALL) + text.count(r"& \text{")


def test_the_verb_lists_translates_draws_and_typesets(tmp_path):
    found = answer(run("dictionary", "--json"))["rows"]
    assert [row["name"] for row in found] == ALL
    assert found[2]["known_as"]["shrinkage"] == "soft"
    assert found[-1]["max_min_step"] == 0.0
    shown = said(run("dictionary", "garrote", "--plot", tmp_path / "new" / "garrote.png"))
    for part in ("r - θ²/r", "sup |Φ(s)/s| 1", "from -1 to 1", "τ <= 0.5 h²", "not convex"):
        assert part in shown
    assert matplotlib.image.imread(tmp_path / "new" / "garrote.png").shape[1] > 800
    assert run("dictionary", "soft", "--latex").stdout.startswith(r"\begin{tabular}")
    unknown = run("dictionary", "sof")
    assert unknown.exit_code == 2
    assert "Did you mean 'soft'" in said(unknown)


def test_the_page_to_move_the_contrast_is_as_it_is_written():
    written = runpy.run_path(str(DOCS / "dictionary.py"))["page"]()
    assert (DOCS / "dictionary.html").read_text(encoding="utf-8") == written
    listed = (DOCS / "dictionary.md").read_text(encoding="utf-8")
    for row in rows():
        assert f"| `{row.entry.name}` |" in listed
        for face in FACES:
            assert f"`{getattr(row.formulas, face)}`".replace("|", r"\|") in listed


def test_no_word_of_the_table_is_broken_on_a_narrow_terminal():
    table = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, ["dictionary"]).stdout
    assert max(map(len, table.splitlines())) <= 80
    for word in ("Whittaker-Tikhonov", "Perona-Malik", "truncated", "activation", "perona-malik-rational"):
        assert word in table
