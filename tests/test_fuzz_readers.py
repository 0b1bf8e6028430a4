"""Damaged files: whatever bytes come, a reader gives a scan or one of our errors, never another exception.

The examples are the same in every run (derandomized). HDF5 files are read in a child process: libhdf5 itself crashes
on about one in ten thousand of them (see io.hdf5), which another version of a library may bring up at any time and
which no reader can prevent. A crash is let pass; another exception, or a reader that hangs, is not.
"""

import faulthandler
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import pytest
import scan_files as files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microlocal.core.errors import MicrolocalError
from microlocal.core.scan import Scan
from microlocal.io import read_scan
from microlocal.io.hdf5 import MAGIC as HDF5_MAGIC

place = st.floats(0, 1, exclude_max=True)
flip = st.tuples(st.just("flip"), place, st.integers(1, 255))
overwrite = st.tuples(st.just("overwrite"), place, st.binary(min_size=1, max_size=8))
truncate = st.tuples(st.just("truncate"), place, st.just(0))
splice = st.tuples(st.just("splice"), place, place)
mutations = st.lists(st.one_of(flip, overwrite, truncate, splice), min_size=1, max_size=6)


def mutated(content: bytes, changes: list[tuple[str, float, object]]) -> bytes:
    """Apply each change at its relative place; early places, where headers are, are as likely as late ones."""
    data = bytearray(content)
    for kind, where, value in changes:
        at = int(where**3 * len(data))
        if kind == "flip" and data:
            data[at] ^= value
        elif kind == "overwrite":
            data[at : at + len(value)] = value
        elif kind == "truncate":
            del data[int(where * len(data)) :]
        elif kind == "splice":
            source = int(value * len(data))
            data[at:at] = data[source : source + 64]
    return bytes(data)


def outcome(path: Path) -> str:
    """Read; anything but a scan or our own error fails the test."""
    try:
        scan = read_scan(path)
    except MicrolocalError:
        return "refused"
    assert isinstance(scan, Scan)
    return "read"


READ, REFUSED, BROKEN = range(3)
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
HANGS_AFTER = 30  # seconds


def outcome_apart(path: Path) -> str:
    """The outcome in a child process; "crashed" where the C library took it down."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child uses none of them
        child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            faulthandler.disable()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(HANGS_AFTER)
            code = READ if outcome(path) == "read" else REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) in CRASHES, f"ended by signal {os.WTERMSIG(status)}: a reader hangs"
        return "crashed"
    assert os.WEXITSTATUS(status) != BROKEN, "an exception that is not ours"
    return "read" if os.WEXITSTATUS(status) == READ else "refused"


@pytest.fixture(scope="module", params=files.FILES)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = files.FILES[request.param](tmp_path_factory.mktemp(request.param))
    return path, path.read_bytes()


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=mutations)
def test_damaged_files(original: tuple[Path, bytes], changes: list[tuple[str, float, object]]) -> None:
    path, content = original
    path.write_bytes(mutated(content, changes))
    apart = HDF5_MAGIC in content[:520] and hasattr(os, "fork")
    outcome_apart(path) if apart else outcome(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_tells_crash_refusal_and_foreign_errors_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.npz(tmp_path)
    assert outcome_apart(path) == "read"
    assert outcome_apart(tmp_path / "nothing.npz") == "refused"
    monkeypatch.setattr(sys.modules[__name__], "read_scan", lambda path: os.kill(os.getpid(), signal.SIGSEGV))
    assert outcome_apart(path) == "crashed"
    monkeypatch.setattr(sys.modules[__name__], "read_scan", lambda path: os.kill(os.getpid(), signal.SIGALRM))
    with pytest.raises(AssertionError, match="hangs"):
        outcome_apart(path)
    monkeypatch.setattr(sys.modules[__name__], "read_scan", lambda path: {}[path])
    with pytest.raises(AssertionError, match="not ours"):
        outcome_apart(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(content=st.one_of(st.binary(max_size=2000), st.binary(max_size=60).map(lambda b: b"MATLAB 5.0 MAT-file" + b)))
def test_random_bytes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "random.bin"
    path.write_bytes(content)
    assert outcome(path) == "refused"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["kind", "angles_deg", "detector", "unit", "source_axis", "source_detector", "grid", "axes", "quantity"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    changes=st.dictionaries(
        st.sampled_from([*FIELDS, "flats", "darks", "tilt_axis"]),
        json_values | st.sampled_from(["fan", "parallel", "counts"]),
        max_size=3,
    )
)
def test_random_sidecars(changes: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "sidecars"
    folder.mkdir(exist_ok=True)
    path = files.npz(folder)
    files.sidecar(path, **changes)
    outcome(path)
    path.with_suffix(".json").unlink()
