"""The page of numbers: running one suite keeps what the others have measured."""

from pathlib import Path

from benchmarks.__main__ import BEGIN, END, TITLES, as_page, as_readme, merged, sections
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
    rows = [line.split(" | ")[0] for line in readme.splitlines() if line.startswith("| ")]
    assert rows == ["| what", "| a", "| e", "| new", "| a", "| e", "| new"]
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter")
    assert as_readme("no marks", together) == "no marks"


def test_without_new_results_the_pages_stay_as_they_are(repository: Path):
    page, readme = ((repository / name).read_text(encoding="utf-8") for name in ("docs/numbers.md", "README.md"))
    together = merged(page, {})
    assert sections(as_page(together)) == sections(page)
    assert list(together) == list(sections(page))
    assert as_readme(readme, together) == readme
