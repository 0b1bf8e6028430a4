"""Run the measurements: all of them, or those named on the command line.

    python -m benchmarks [operators] [footprints] [helsinki] [scans] [package] [speed] [growth] [limited_angle]
                         [learned] [shipped] [edges] [directions] [pnp] [diffusion] [denoising]

Prints a table a suite, writes benchmarks/results/*.json, and the whole as docs/numbers.md. Suites that were not run
on this machine keep their sections there; the README shows a digest of it.
"""

import re
import sys
import time
from pathlib import Path

from benchmarks import (
    denoising,
    diffusion,
    directions,
    edges,
    footprints,
    growth,
    helsinki,
    learned,
    limited_angle,
    operators,
    package,
    pnp,
    scans,
    shipped,
    speed,
)
from benchmarks.digest import digest
from benchmarks.table import RESULTS, Row, Suite, markdown, save

SUITES: dict[str, Suite] = {
    "operators": operators.suite,
    "footprints": footprints.suite,
    "scans": scans.suite,
    "package": package.suite,
    "speed": speed.suite,
    "diffusion": diffusion.suite,
    "denoising": denoising.suite,
    "growth": growth.suite,
    "limited_angle": limited_angle.suite,
    "learned": learned.suite,
    "shipped": shipped.suite,
    "helsinki": helsinki.suite,
    "pnp": pnp.suite,
    "edges": edges.suite,
    "directions": directions.suite,
}
TITLES = {
    "operators": "Operators and frames",
    "footprints": "Footprints of rays",
    "scans": "Tooth and needle",
    "package": "The package",
    "speed": "Speed, as ratios in one run",
    "diffusion": "Nonlinear diffusion",
    "denoising": "Certified denoisers",
    "growth": "Growth with the size",
    "limited_angle": "Sparse reconstruction from an arc",
    "learned": "Learned methods, limited angle",
    "shipped": "Learn the Invisible with the shipped weights",
    "helsinki": "Helsinki tomography challenge 2022",
    "pnp": "Plug-and-play with a certified denoiser",
    "edges": "Edges of photographs",
    "directions": "Directions on exact phantoms",
}
ALONE = ("learned",)  # takes half an hour and wants weights: only when it is named (make bench-limited-angle)
ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "numbers.md", ROOT / "README.md"
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"


def sections(page: str) -> dict[str, str]:
    """Return the tables of a page by their headings, in its order."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    return {title: table.strip() for title, table in zip(parts[::2], parts[1::2], strict=True)}


def merged(page: str, found: dict[str, str]) -> dict[str, str]:
    """Return the tables by title: those ``found`` by suite, and of the page those of suites without results here."""
    kept = sections(page)
    ordered = {title: found.get(name, kept.get(title)) for name, title in TITLES.items()}
    return {title: table for title, table in (kept | ordered).items() if table is not None}


def as_page(tables: dict[str, str]) -> str:
    """Return docs/numbers.md."""
    head = "# Numbers\n\nWritten by `make bench`; each row names its data and seed, each table its machine.\n"
    return head + "".join(f"\n## {title}\n\n{table}\n" for title, table in tables.items())


def as_readme(readme: str, tables: dict[str, str]) -> str:
    """Return the README with the digest of the tables between its marks."""
    if BEGIN not in readme or END not in readme:
        return readme
    head, tail = readme.split(BEGIN, maxsplit=1)[0], readme.split(END)[1]
    return f"{head}{BEGIN}\n{digest(tables)}\n{END}{tail}"


def main(names: list[str]) -> int:
    """Run the suites called ``names``; return 1 where something that was asked is missed."""
    missed: list[Row] = []
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        began = time.monotonic()
        rows = SUITES[name]()
        save(name, rows)
        print(f"\n{TITLES[name]} ({time.monotonic() - began:.0f} s)\n\n{markdown(rows)}", flush=True)
        missed += [row for row in rows if row.met is False]
    tables = {n: RESULTS / f"{n}.md" for n in SUITES}
    found = {n: path.read_text(encoding="utf-8").strip() for n, path in tables.items() if path.exists()}
    together = merged(PAGE.read_text(encoding="utf-8") if PAGE.exists() else "", found)
    PAGE.write_text(as_page(together), encoding="utf-8")
    README.write_text(as_readme(README.read_text(encoding="utf-8"), together), encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    chosen = sys.argv[1:] or [name for name in SUITES if name not in ALONE]
    if {"-h", "--help"} & set(chosen):
        print(__doc__)
        sys.exit()
    unknown = set(chosen) - set(SUITES)
    if unknown:
        sys.exit(f"unknown suite: {', '.join(unknown)}; known: {', '.join(SUITES)}")
    sys.exit(main(chosen))
