"""Rows of promises and measurements, as text, Markdown and JSON."""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
PEERS = (
    "astra-toolbox",
    "odl",
    "deepinv",
    "scikit-image",
    "adrt",
    "finufft",
    "alpha-transform",
    "PyCoShREM",
    "PyWavelets",
    "ptwt",
)


@dataclass(frozen=True)
class Row:
    """One measured number: ``what``, the data it was measured on, what was ``asked`` and what was ``reached``."""

    what: str
    data: str
    asked: str
    reached: str
    met: bool | None


def at_most(what: str, data: str, value: float, limit: float, show: str = "{:.3g}") -> Row:
    """Return the row of a number that must not exceed ``limit``."""
    return Row(what, data, "<= " + show.format(limit), show.format(value), value <= limit)


def at_least(what: str, data: str, value: float, limit: float, show: str = "{:.3f}") -> Row:
    """Return the row of a number that must reach ``limit``."""
    return Row(what, data, ">= " + show.format(limit), show.format(value), value >= limit)


def absent(what: str, why: str) -> Row:
    """Return the row of something that could not be measured here."""
    return Row(what, "absent", "", why, None)


def markdown(rows: list[Row]) -> str:
    """Return the rows as a Markdown table; a bar within a cell would end it."""
    lines = ["| what | measured on | asked | reached | |", "|---|---|---|---|---|"]
    marks = {True: "met", False: "**missed**", None: ""}
    cells = [[*(text.replace("|", r"\|") for text in (r.what, r.data, r.asked, r.reached)), marks[r.met]] for r in rows]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Return the facts a number depends on."""
    packages = {}
    for name in ("microlocal", "torch", "numpy", "scipy", "numba", "finufft"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "absent"
    return (
        packages
        | _peers()
        | {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": str(os.cpu_count()),
            "torch threads": str(torch.get_num_threads()),
        }
    )


def where_measured() -> str:
    """Return the machine facts as the line above a table: the tables of one page need not be of one machine."""
    return "Machine: " + ", ".join(f"{name} {value}" for name, value in machine().items()) + "."


def _peers() -> dict[str, str]:
    """Return the versions of the peers that are installed in their environment."""
    python = Path(os.environ.get("MICROLOCAL_PEERS", RESULTS.parents[1] / ".venv-peers" / "bin" / "python"))
    if not python.exists():
        return {"peers": "absent"}
    ask = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    return {f"peer {name}": found[name] for name in PEERS if name in found}


def save(name: str, rows: list[Row]) -> None:
    """Write the rows and the machine facts to results/NAME.json and .md."""
    content = {"machine": machine(), "rows": [asdict(r) for r in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(f"{where_measured()}\n\n{markdown(rows)}\n", encoding="utf-8")


def shared() -> Path | None:
    """Return the folder of development data, from MICROLOCAL_SHARED or beside the repository, or None."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MICROLOCAL_SHARED", default))
    return folder if (folder / "data").is_dir() else None


Suite = Callable[[], list[Row]]
