"""What users install: the wheel holds everything that the package reads at run time."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

NEEDED = ("py.typed", "data/needle/needle.npz", "data/needle/NOTICE.txt", "report/templates/report.html.j2")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once."""
    folder = tmp_path_factory.mktemp("dist")
    code = "import sys; from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder(sys.argv[1]).build("
    code += "directory=sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(repository), str(folder)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_source_and_its_data(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = repository / "src"
    wanted = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {f"microlocal/{name}" for name in NEEDED} <= names
    assert wanted <= names, sorted(wanted - names)
    assert not [name for name in names if name.endswith((".pyc", ".nbc", ".nbi"))]


@pytest.mark.slow
def test_the_wheel_is_small_and_names_its_licences(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).infolist()
    weights = sum(f.compress_size for f in files if f.filename.endswith(".safetensors"))
    assert weights <= 15_000_000
    assert wheel.stat().st_size - weights < 2_000_000
    names = [f.filename for f in files]
    assert [n for n in names if n.endswith("licenses/LICENSE")]
    assert [n for n in names if "licenses" in n and n.endswith("NOTICE.txt")]


def test_the_constraint_on_torch_lies_within_what_the_package_asks(repository: Path) -> None:
    from packaging.requirements import Requirement

    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pin = next(Requirement(line) for line in lines if line.startswith("torch"))
    asked = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = next(Requirement(line) for line in asked if line.startswith("torch"))
    assert all(wanted.specifier.contains(spec.version) for spec in pin.specifier)
