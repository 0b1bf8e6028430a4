"""Formulas as people write them, ``2 λ² (√(1 + s²/λ²) - 1)``: read by SymPy, to be evaluated, or typeset as a table."""

import re
from collections.abc import Sequence

import sympy
from sympy.parsing.sympy_parser import implicit_multiplication, parse_expr, standard_transformations

from microlocal.dictionary.nonlinearity import Formulas
from microlocal.dictionary.table import FACES, SYMBOLS, Row

NAMES = {"λ": "lamda", "θ": "theta", "√": "sqrt", "²": "**2", "³": "**3"}
VARIABLES = {"s": sympy.Symbol("s", real=True), "r": sympy.Symbol("r", real=True)} | {
    name: sympy.Symbol(name, positive=True) for name in ("theta", "lamda")
}


def parsed(text: str) -> sympy.Expr:
    """Return the expression in the symbols s, r, lamda, theta, as it is written; pieces: ``A if condition else B``.

    >>> parsed("2 r³/(λ² + 2 r²)").subs({VARIABLES["r"]: 1, VARIABLES["lamda"]: 2}).doit()
    1/3
    """
    pieces = re.fullmatch(r"(.+) if (.+) else (.+)", text)
    if pieces is None:
        return _expression(text)
    first, condition, second = (_expression(part) for part in pieces.groups())
    return sympy.Piecewise((first, condition), (second, True), evaluate=False)


def typeset(text: str) -> str:
    r"""Return the formula in LaTeX.

    >>> typeset("1/√(1 + s²/λ²)")
    '\\frac{1}{\\sqrt{1 + \\frac{s^{2}}{\\lambda^{2}}}}'
    """
    found = sympy.latex(parsed(text), order="none", ln_notation=True)
    # What is left unevaluated keeps its ones: 1 * (1/x), (-1) * x.
    return re.sub(r"\b1 (?=\\frac\{1\})", "", found).replace(r"\left(-1\right) ", "-")


def _expression(text: str) -> sympy.Expr:
    for sign, name in NAMES.items():
        text = text.replace(sign, name)
    text = re.sub(r"\|([^|]+)\|", r"Abs(\1)", text)
    return parse_expr(text, VARIABLES, (*standard_transformations, implicit_multiplication), evaluate=False)


def latex(found: Sequence[Row]) -> str:
    """Return the rows as a LaTeX table of formulas, the known names above them and the best known one bold.

    It needs the packages amsmath and booktabs.
    """
    greek = {"Ψ": r"\Psi", "Φ": r"\Phi"}
    symbols = {face: greek.get(sign[0], sign[0]) + sign[1:] for face, sign in SYMBOLS.items()}
    head = " & ".join(f"{face.capitalize()} ${symbol}$" for face, symbol in symbols.items())
    lines = [r"\begin{tabular}{llll}", r"\toprule", head + r" \\", r"\midrule"]
    for row in found:
        lines.append(" & ".join(_known(row.formulas, face) for face in FACES) + r" \\")
        cells = (typeset(getattr(row.formulas, face)) for face in FACES)
        lines.append(" & ".join(f"${text}$" for text in cells) + r" \\[1ex]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _known(formulas: Formulas, face: str) -> str:
    name = formulas.names.get(face, "")
    return rf"\textbf{{{name}}}" if name and face == formulas.best else name
