"""The pages: their examples run, the example members obey the laws, and the bibliography is the code's."""

import doctest
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import microlocal as ml
from microlocal.core import registry
from microlocal.core.references import REFERENCES, citation
from microlocal.data import needle
from microlocal.data.shipped import NEEDLE
from microlocal.members import load_all
from microlocal.testing import check

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", *DOCS.glob("*.md"), *(DOCS / "gallery").glob("*.md")])


@pytest.fixture
def own_registry(monkeypatch):
    """What an example registers is forgotten after the test; the package's own members are all there before."""
    load_all()
    members = {kind: dict(entries) for kind, entries in registry._ENTRIES.items()}
    monkeypatch.setattr(registry, "_ENTRIES", members)


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("words", ["info needle.npz", "visible needle.npz --out seen"])
def test_the_first_tutorial_shows_what_is_printed(words, tmp_path):
    page = (DOCS / "tutorial-first-scan.md").read_text(encoding="utf-8")
    shown = page.split(f"$ microlocal {words}\n")[1].split("```")[0]
    shutil.copy(NEEDLE, tmp_path / "needle.npz")
    run = subprocess.run(
        [sys.executable, "-m", "microlocal", *words.split()],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "96", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert run.stdout.split() == shown.split()


@pytest.mark.usefixtures("own_registry")
def test_the_example_operator_obeys_the_laws():
    runpy.run_path(str(DOCS / "examples" / "mask.py"))
    for sample in registry.registered("operator")["mask"].samples():
        check("operator", sample)


@pytest.mark.usefixtures("own_registry")
def test_the_example_method_obeys_the_laws():
    runpy.run_path(str(DOCS / "examples" / "landweber.py"))
    for sample in registry.registered("method")["landweber"].samples():
        check("method", sample)
    scan, grid = needle().slices(0), ml.Grid((64, 64), 13.44, unit="nm")
    result = ml.reconstruct(scan, "landweber", grid=grid, iterations=30)
    assert result.history["residual"][-1] < 0.2 * result.history["residual"][0]
    assert result.certificates[0].holds


@pytest.mark.parametrize(("page", "source"), [("add-an-operator", "mask"), ("add-a-method", "landweber")])
def test_the_page_shows_the_example_that_is_tested(page, source):
    shown = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert (DOCS / "examples" / f"{source}.py").read_text(encoding="utf-8") in shown


def test_the_reference_page_is_the_bibliography():
    text = (DOCS / "references.md").read_text(encoding="utf-8")
    for key, entry in REFERENCES.items():
        assert f"**{key}**: {citation(key)}." in text
        assert entry in text
    assert text.count("```bibtex") == len(REFERENCES)


def test_every_method_is_on_the_page_that_helps_to_choose():
    page = (DOCS / "how-to-choose-a-method.md").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in ml.methods():
        assert f"`{name}`" in page
        assert f"`{name}`" in readme
