"""Every script of the gallery runs, keeps its claim (it asserts it) and draws; its committed picture is small."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
GALLERY = REPOSITORY / "docs" / "gallery"
PICTURES = REPOSITORY / "docs" / "images" / "gallery"
SCRIPTS = sorted(path.stem for path in GALLERY.glob("*.py") if path.stem != "drawing")


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_keeps_its_claim_and_draws(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(GALLERY))
    monkeypatch.setattr("sys.argv", [f"{name}.py", str(tmp_path)])
    runpy.run_path(str(GALLERY / f"{name}.py"), run_name="__main__")
    drawn = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]
    assert min(drawn.shape) > 200
    assert drawn.std() > 10


def test_every_script_has_its_small_picture_on_the_index():
    index = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+)\.py\)", index)) == SCRIPTS
    assert sorted(re.findall(r"gallery/(\w+)\.png\)", index)) == SCRIPTS
    assert sorted(path.stem for path in PICTURES.iterdir()) == SCRIPTS
    assert all(path.stat().st_size <= 150_000 for path in PICTURES.iterdir())
