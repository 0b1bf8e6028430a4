"""The house rules that a reader of one file cannot see: registration, the checked bases, the direction of imports."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microlocal.core.registry import Entry, registered
from microlocal.frames import Frame
from microlocal.functionals import Functional
from microlocal.members import load_all
from microlocal.operators import LinearOperator

load_all()

KINDS = ("operator", "frame", "functional", "solver", "method", "reader", "result-writer")
CHECKED = {
    LinearOperator: ("forward", "adjoint", "__call__", "__matmul__", "H"),
    Frame: ("forward", "adjoint", "norm_bound"),
}


def descendants(base: type) -> list[type]:
    """Return every subclass of ours, at any depth."""
    found = [c for child in base.__subclasses__() for c in (child, *descendants(child))]
    return [c for c in dict.fromkeys(found) if c.__module__.startswith("microlocal.")]


def members() -> list[Entry]:
    """Return every registered entry."""
    return [entry for kind in KINDS for entry in registered(kind).values()]


CLASSES = [c for base in (LinearOperator, Functional) for c in descendants(base)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_final_classes_are_registered_and_abstract_ones_are_not(cls: type) -> None:
    known = {entry.member for entry in members()}
    final = not inspect.isabstract(cls) and not cls.__name__.startswith("_")
    assert (cls in known) == final, f"{cls.__name__} is {'final' if final else 'abstract'}"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_nobody_overrides_the_checked_methods_of_a_base(cls: type) -> None:
    for base, names in CHECKED.items():
        if issubclass(cls, base) and cls is not base:
            own = set(names) & set(vars(cls))
            assert not own, f"{cls.__name__} overrides {sorted(own)} of {base.__name__}: write _forward and _adjoint"


@pytest.mark.parametrize("entry", [e for e in members() if e.samples], ids=lambda e: f"{e.kind}:{e.name}")
def test_samples_build(entry: Entry) -> None:
    samples = entry.samples() if entry.samples else []
    least = 1 if entry.kind in ("solver", "method") else 2  # theirs are problems with a known answer
    assert len(samples) >= least, "write two to four tiny samples, of odd and even size"
    if inspect.isclass(entry.member):
        assert all(isinstance(sample, entry.member) for sample in samples)


@pytest.mark.parametrize("kind", ["operator", "frame", "functional", "method", "reader", "result-writer"])
def test_every_kind_has_members(kind: str) -> None:
    assert registered(kind)


@pytest.mark.parametrize("entry", members(), ids=lambda e: f"{e.kind}:{e.name}")
def test_members_say_what_they_are_in_one_line(entry: Entry) -> None:
    assert entry.summary.endswith((".", ")", ":")), f"{entry.name}: {entry.summary!r}"


def test_references_of_members_are_in_the_bibliography() -> None:
    from microlocal.core.references import REFERENCES

    named = {entry.name: entry.reference for entry in members() if entry.reference}
    missing = {name: key for name, key in named.items() if key not in REFERENCES}
    assert not missing


def test_imports_point_down(repository: Path) -> None:
    script = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert script, "import-linter is in the lint group"
    run = subprocess.run([script, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
