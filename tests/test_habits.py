"""The habits meter counts what it says it counts, and its ratchet can fail."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import habits
import measures

FAULTY = '''
"""A module."""
from microlocal.room import other


def long(x: Tensor) -> Float[Tensor, "row col"]:
    """Say."""
    from microlocal.room import late
    assert x
    print(x)
    return x


def take(**options):
    if options:
        return f(a=options)
    raise ValueError("told", expected=1, got=2)


def passed(**options):
    return f(**options)


def shaped(x: Float[Tensor, "row"]) -> None:
    raise ValueError("not told")
'''


@pytest.fixture
def files(tmp_path):
    """A small package with one of each fault."""
    room = tmp_path / "microlocal" / "room"
    room.mkdir(parents=True)
    (tmp_path / "microlocal" / "__init__.py").write_text("")
    (room / "__init__.py").write_text("from microlocal.room.faulty import long as long\n")
    (room / "faulty.py").write_text(FAULTY)
    classes = "\nclass A(Base): pass\nclass B(A): pass\nclass C(B): pass\n"
    (room / "other.py").write_text("import microlocal.room.faulty\n" + classes)
    methods = "".join(f"    def {name}(self): pass\n" for name in ("one", "two", "_no"))
    (room / "base.py").write_text("class Base:\n" + methods)
    return measures.read(tmp_path / "microlocal")


def test_lines_and_bodies(files):
    by_name = {file.module: file for file in files}
    assert by_name["microlocal.room.faulty"].lines == len(FAULTY.splitlines())
    assert sorted(measures.body_lines([by_name["microlocal.room.faulty"]])) == [1, 1, 3, 4]


def test_bases_and_depth(files):
    bases, depth = measures.bases_and_depth(files)
    assert bases["Base"] == 2
    assert depth == 3


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        (measures.inner_imports, ["microlocal.room.faulty:8: imports microlocal.room inside long"]),
        (measures.swallowed_kwargs, ["microlocal.room.faulty:14: take takes **options"]),
        (measures.prints_and_asserts, ["microlocal.room.faulty:10: print", "microlocal.room.faulty:9: assert"]),
        (measures.unshaped, ["microlocal.room.faulty:6: long has a tensor without a shape"]),
        (measures.cycles, ["import cycle: microlocal.room.faulty <-> microlocal.room.other"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_fault_is_found_where_it_is(files, measure, told):
    assert sorted(measure(files)) == told


def test_shares(files):
    assert measures.shaped_signatures(files) == (1, 2)
    assert measures.telling_raises(files) == (1, 2)


def test_percentiles():
    assert habits.percentile(list(range(1, 101)), 0.95) == 95
    assert habits.percentile([7], 0.95) == 7


@pytest.mark.parametrize(
    ("value", "recorded", "verdict"),
    [
        (5, None, "ok"),
        (10, 2, "ok"),
        (12, None, "aim missed"),
        (12, 12, "aim missed"),
        (12, 11, "worse"),
        (16, 20, "stop"),
    ],
)
def test_the_ratchet_turns_one_way(value, recorded, verdict):
    assert habits.Habit("methods", value, aim=10, stop=15).verdict(recorded) == verdict


def test_where_more_is_better_the_ratchet_turns_the_other_way():
    habit = habits.Habit("share", 70, aim=80, stop=60, more=True)
    assert habit.verdict(75) == "worse"
    assert habit.verdict(65) == "aim missed"
    assert habits.Habit("share", 59, aim=80, stop=60, more=True).verdict(None) == "stop"
