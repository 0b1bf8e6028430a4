"""``microlocal dictionary``: diffusion, regularisation, wavelet shrinkage and residual networks, translated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import facts, heading, number

if TYPE_CHECKING:
    from microlocal.dictionary.table import Row

EXAMPLES = examples(
    ("all rows", "microlocal dictionary"),
    ("one of them: formulas, and which steps are stable", "microlocal dictionary garrote"),
    ("all functions as a picture", "microlocal dictionary --plot dictionary.png"),
    ("for a paper", "microlocal dictionary --latex > table.tex"),
    after="One nonlinearity, four faces: diffusivity g(s), regulariser Ψ(s) with Ψ' = 2Φ,\n"
    "shrinkage S(r) = r - Φ(√2 r)/√2 of Haar coefficients, activation\n"
    "Φ(s) = g(s) s. λ is the contrast above which edges are kept, θ = λ/√2 the\n"
    "threshold; h = 1, τ = 1/4.",
)

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False, help="One of the rows.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the functions: PNG, PDF or SVG.")]
AsLatex = Annotated[bool, typer.Option("--latex", help="Print the formulas as a LaTeX table.")]


def dictionary(context: typer.Context, name: Name = None, plot: PlotFile = None, latex: AsLatex = False) -> None:
    """Translate diffusivities, regularisers, shrinkage functions and activations into each other."""
    rows = lazy.dictionary.rows([name] if name else [])
    table = lazy.latex.latex(rows) if latex else None
    fields = {"rows": [fields_of(row) for row in rows], "latex": table}
    files = [lazy.dictionary_picture.draw(rows, plot)] if plot is not None else []
    shown: list[RenderableType | Path] = [table] if table else _one(rows[0]) if name else _all(rows)
    written: list[RenderableType | Path] = [heading("Files"), *files] if files and not latex else []
    screen_of(context).answer(fields | {"files": files}, *shown, *written)


def fields_of(row: "Row") -> dict[str, Any]:
    """Return the answer for programs."""
    found, formulas = row.facts, row.formulas
    return {
        "name": row.entry.name,
        "summary": row.summary,
        "known_as": formulas.names,
        "formulas": {face: getattr(formulas, face) for face in lazy.dictionary.FACES},
        "largest_ratio": found.largest_ratio,
        "lipschitz": found.lipschitz,
        "slopes": list(found.slopes),
        "increasing": found.increasing,
        "convex": found.convex,
        "domain": found.domain,
        "nonnegative": found.nonnegative,
        "max_min_step": found.max_min_step(),
        "sign_step": found.sign_step(),
        "reference": row.reference,
    }


def _all(rows: "list[Row]") -> list[RenderableType | Path]:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="quiet")
    table.add_column("name", style="what", no_wrap=True)
    for face in lazy.dictionary.FACES:
        words = " ".join(row.formulas.names.get(face, "") for row in rows).split()
        table.add_column(face, overflow="fold", width=max(map(len, (face, *words))))  # no word is broken
    for row in rows:
        known, best = row.formulas.names, row.formulas.best
        faces = [Text(known.get(face, ""), style="bold" if face == best else "") for face in lazy.dictionary.FACES]
        table.add_row(row.entry.name, *faces)
    told = Text("The best known name of a row is bold. microlocal dictionary NAME has its formulas.", style="quiet")
    return [heading("One nonlinearity, four faces, and what they are known as"), table, told]


def _one(row: "Row") -> list[RenderableType | Path]:
    found, formulas = row.facts, row.formulas
    named = {face: f"    ({name})" for face, name in formulas.names.items()}
    lines = [
        (f"{face} {symbol}", getattr(formulas, face) + named.get(face, ""))
        for face, symbol in lazy.dictionary.SYMBOLS.items()
    ]
    stable = f"maximum-minimum principle for τ <= {number(found.max_min_step())} h², no new sign changes for half of it"
    follows = [
        ("sup |Φ(s)/s|", number(found.largest_ratio)),
        ("Lipschitz constant of Φ", number(found.lipschitz)),
        ("Φ'", f"from {number(found.slopes[0])} to {number(found.slopes[1])}"),
        ("Φ", "increases" if found.increasing else "does not increase everywhere: edges can be sharpened"),
        ("Ψ", "convex" if found.convex else "not convex"),
        ("a step has the", stable if found.bounded else "maximum-minimum principle for no τ: g is not bounded"),
        ("described by", row.reference),
    ]
    return [Text(row.summary), heading("Formulas"), facts(lines), heading("What follows, for λ = 1"), facts(follows)]
