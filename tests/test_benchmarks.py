"""The page of numbers: running one suite keeps what the others have measured."""

import subprocess
import sys
from pathlib import Path

from benchmarks import systems
from benchmarks.__main__ import BEGIN, END, SUITES, TITLES, as_page, as_readme, merged, sections
from benchmarks.digest import BEST_KNOWN, MET, MISSED, digest
from benchmarks.table import Row, markdown

TABLE = markdown([Row("a", "b", "<= 1", "0.5", True), Row("c", "d", "", "7", None), Row("e", "f", "<= 1", "2", False)])
NEW = markdown([Row("new", "b", "<= 1", "0.1", True)])


def test_one_suite_keeps_the_sections_and_rows_of_the_others():
    page = as_page({TITLES["operators"]: TABLE, TITLES["speed"]: TABLE, "Of old": TABLE})
    together = merged(page, {"speed": NEW, "helsinki": NEW})
    assert together[TITLES["operators"]] == TABLE
    assert together["Of old"] == TABLE
    assert together[TITLES["speed"]] == together[TITLES["helsinki"]] == NEW
    assert sections(as_page(together)) == together
    readme = as_readme(f"before\n{BEGIN}\nold\n{END}\nafter", together)
    assert [line for line in readme.splitlines() if line.endswith(MISSED)] == ["| e | f | <= 1 | 2 | **missed** |"] * 2
    assert "All of them, 4 of 6 reached:" in readme
    assert f"| [{TITLES['operators']}](docs/numbers.md#operators-and-frames) | 2 | 1 |" in readme
    assert f"| [{TITLES['speed']}](docs/numbers.md#speed-as-ratios-in-one-run) | 1 | 1 |" in readme
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter")
    assert as_readme("no marks", together) == "no marks"


def test_without_new_results_the_pages_stay_as_they_are(repository: Path):
    page, readme = ((repository / name).read_text(encoding="utf-8") for name in ("docs/numbers.md", "README.md"))
    together = merged(page, {})
    assert sections(as_page(together)) == sections(page)
    assert list(together) == list(sections(page))
    assert as_readme(readme, together) == readme


def test_the_readme_shows_the_best_known_rows_and_each_of_them_is_measured(repository: Path):
    tables = sections((repository / "docs" / "numbers.md").read_text(encoding="utf-8"))
    shown = [line.removeprefix("| ").split(" | ")[0] for line in digest(tables).splitlines() if line.endswith(MET)]
    assert [name for name in BEST_KNOWN if name not in shown] == []


def test_rows_of_a_system_judge_what_is_asked_of_it():
    found = systems.measured("decimated", 40, 2)
    assert found["images"] == 2 * 40 * 40 * 4 / 2**20
    assert 1 < found["coefficients"] / found["images"] < 8
    found |= {
        "first": 0.6,
        "again": 0.1,
        "peak": 6.0,
        "coefficients": 4.0,
        "images": 1.0,
        "backward": 1.2,
        "ratio": 1.2,
        "adjoint": 1.0,
    }
    assert [row.met for row in systems.rows_of("decimated", 512, 1, found)] == [False, True, None, True, True]
    assert [row.met for row in systems.rows_of("compact", 512, 1, found)] == [False, True, False, None, True]
    assert [row.met for row in systems.rows_of("compact", 1024, 1, found)] == [None, None, False, None, True]
    assert [row.met for row in systems.rows_of("compact", 512, 8, found | {"ratio": 2.0})] == [False, None, False]


def test_help_names_every_suite_and_runs_none():
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "benchmarks", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert all(f"[{name}]" in done.stdout for name in SUITES)
