"""The examples in the visibility room and on its page run and say what they show."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import microlocal.wavefront

NAMES = [m.name for m in pkgutil.iter_modules(microlocal.wavefront.__path__, "microlocal.wavefront.")]


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_the_code_run(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    # Every public function that is re-exported comes with a docstring.
    assert all(
        (getattr(microlocal.wavefront, n).__doc__ or "").strip() for n in dir(microlocal.wavefront) if n[0] != "_"
    )


def test_examples_on_the_page_run(repository: Path) -> None:
    result = doctest.testfile(str(repository / "docs" / "visibility.md"), module_relative=False)
    assert result.attempted > 8
    assert result.failed == 0
