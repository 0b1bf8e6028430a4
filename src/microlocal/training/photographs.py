"""Photographs with the boundaries that people drew in them: a folder laid out as the Berkeley segmentation data.

    FOLDER/images/NAME.jpg        FOLDER/groundTruth/NAME.mat   (groundTruth{k}.Boundaries of annotator k)

The Berkeley data may be used for non-commercial research and teaching; what was trained on them says so on its card.

Reference: Arbelaez, Maire, Fowlkes, Malik (2011).
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.io import loadmat

from microlocal.core.errors import InputError
from microlocal.io.reader import guarded
from microlocal.training.folder import slices_of

HELD_OUT = 50
LICENCE = "trained on the Berkeley segmentation data (BSDS500): non-commercial research and educational use only"
DO = "Name a folder with images/*.jpg and groundTruth/*.mat in [data] folder, or leave it out."


def split(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return the names of the images (to tune and train on, held out): the same everywhere and for everybody.

    Held out are the 50 images whose names' SHA-256 are the lowest. Raises InputError where no more images are there.
    """
    names = sorted(path.stem for path in (Path(folder) / "images").glob("*.jpg"))
    if len(names) <= HELD_OUT:
        expected = f"more than {HELD_OUT} photographs"
        raise InputError("photographs", expected=expected, got=f"{len(names)} in {folder}", do=DO)
    ranked = sorted(names, key=lambda name: sha256(name.encode()).hexdigest())
    return sorted(ranked[HELD_OUT:]), sorted(ranked[:HELD_OUT])


@lru_cache(maxsize=32)
def photograph(folder: Path, name: str) -> tuple[Float[np.ndarray, "row col"], list[Bool[np.ndarray, "row col"]]]:
    """Return the luminance in [0, 1] and every annotator's boundaries; raises InputError naming a file."""
    plane = slices_of(folder / "images" / f"{name}.jpg")[0].double().numpy()
    path = folder / "groundTruth" / f"{name}.mat"
    with guarded(path, "boundaries"):
        cells = loadmat(path)["groundTruth"].ravel()
        return plane, [cell["Boundaries"][0, 0].astype(bool) for cell in cells]
