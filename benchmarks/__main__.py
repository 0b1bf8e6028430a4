"""Run the measurements: all of them, or those named on the command line.

    python -m benchmarks [operators] [helsinki] [scans] [package] [speed] [growth] [limited_angle]

Prints a table a suite, writes benchmarks/results/*.json, and the whole as docs/numbers.md.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks import edges, growth, helsinki, limited_angle, operators, package, scans, speed
from benchmarks.table import RESULTS, Row, Suite, machine, markdown, save

SUITES: dict[str, Suite] = {
    "operators": operators.suite,
    "scans": scans.suite,
    "package": package.suite,
    "speed": speed.suite,
    "growth": growth.suite,
    "limited_angle": limited_angle.suite,
    "helsinki": helsinki.suite,
    "edges": edges.suite,
}
TITLES = {
    "operators": "Operators and frames",
    "scans": "Tooth and needle",
    "package": "The package",
    "speed": "Speed, as ratios in one run",
    "growth": "Growth with the size",
    "limited_angle": "Sparse reconstruction from an arc",
    "helsinki": "Helsinki tomography challenge 2022",
    "edges": "Edges and their directions",
}
ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "numbers.md", ROOT / "README.md"
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"


def _page(sections: dict[str, str]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    head = f"# Numbers\n\nWritten by `make bench`; each row names its data and seed. Machine: {facts}.\n"
    body = [f"\n## {TITLES[name]}\n\n{table}\n" for name, table in sections.items()]
    return head + "".join(body)


def _write_readme() -> None:
    """Put the rows of which something was asked between the README's marks."""
    saved = [json.loads(path.read_text(encoding="utf-8")) for n in SUITES if (path := RESULTS / f"{n}.json").exists()]
    rows = [Row(**row) for content in saved for row in content["rows"] if row["met"] is not None]
    text = README.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        return
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    README.write_text(f"{head}{BEGIN}\n{markdown(rows)}\n{END}{tail}", encoding="utf-8")


def main(names: list[str]) -> int:
    """Run the suites called ``names``; return 1 where something that was asked is missed."""
    missed: list[Row] = []
    for name in names:
        began = time.monotonic()
        rows = SUITES[name]()
        save(name, rows)
        print(f"\n{TITLES[name]} ({time.monotonic() - began:.0f} s)\n\n{markdown(rows)}", flush=True)
        missed += [row for row in rows if row.met is False]
    tables = {n: RESULTS / f"{n}.md" for n in SUITES}
    found = {n: path.read_text(encoding="utf-8").strip() for n, path in tables.items() if path.exists()}
    PAGE.write_text(_page(found), encoding="utf-8")
    _write_readme()
    return 1 if missed else 0


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(SUITES)
    unknown = set(chosen) - set(SUITES)
    if unknown:
        sys.exit(f"unknown suite: {', '.join(unknown)}; known: {', '.join(SUITES)}")
    sys.exit(main(chosen))
