"""What importing costs: ``import microlocal`` next to nothing, the help page no torch at all."""

import subprocess
import sys

import pytest

import microlocal as ml


def python(code: str) -> str:
    """Run ``code`` in a fresh interpreter; return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_costs_little_over_torch() -> None:
    code = "import time, torch; t = time.perf_counter(); import microlocal; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.05


@pytest.mark.parametrize("module", ["microlocal", "microlocal.cli", "microlocal.cli.app"])
def test_torch_waits_until_it_is_needed(module: str) -> None:
    heavy = ("torch", "numpy", "numba", "matplotlib")
    assert python(f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_the_compiler_of_torch_waits_until_something_is_compiled() -> None:
    code = "import sys; from microlocal.members import load_all; load_all(); print([m for m in {} if m in sys.modules])"
    assert python(code.format(("torch._dynamo", "sympy"))).strip() == "[]"


@pytest.mark.parametrize("name", [n for n in dir(ml) if not n.startswith("__")])
def test_every_public_name_loads_and_is_described(name: str) -> None:
    assert getattr(ml, name).__doc__


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match="read_scan"):
        ml.nothing_of_that_name  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    assert ml.__version__ == python("from importlib.metadata import version; print(version('microlocal'))").strip()


def test_type_checkers_see_the_names_that_are_loaded_lazily() -> None:
    import ast
    from pathlib import Path

    tree = ast.parse(Path(ml.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {a.asname for node in guarded.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assert seen == {name for name in dir(ml) if not name.startswith("__")}
