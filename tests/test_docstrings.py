"""Every ``>>>`` example of the package runs and gives what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import microlocal

MODULES = sorted(m.name for m in pkgutil.walk_packages(microlocal.__path__, "microlocal.") if "__main__" not in m.name)


@pytest.mark.parametrize("name", ["microlocal", *MODULES])
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 20
