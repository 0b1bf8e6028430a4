"""Certified denoisers beside what needs no training, and what attacks make of them and of a plain network.

Set12 with white noise of seed 0, 1, ... for its images, the noise level given; PSNR without clipping or rounding. The
figures of other networks are quoted: Zhang et al. (2017), table III, and that of the convex ridge regulariser, whose
minimiser has the Lipschitz constant one too, from the validation scores that Goujon et al. (2023) publish with their
code: the best over its two parameters, chosen on these images. Attacks have the same budget for every network.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.table import Row, absent, at_least, at_most, shared
from microlocal.certificates.maps import Certified
from microlocal.core.seeding import generator
from microlocal.networks.certify import LONG, SIDE, measure
from microlocal.networks.denoisers import TASK, load_denoiser
from microlocal.networks.weights import read_card, shipped_weights
from microlocal.reconstruction.images import denoise, denoise_diffusion, denoise_network, denoise_tv, image_noise
from microlocal.training.folder import slices_of

LEVELS, ASKED_AT = (15, 25, 50), 25  # of 255
PSNR = "PSNR of {}, dB"
ASKED = {"shrinkage": 30.0, "nonexpansive": 29.2}  # dB at 25
QUOTED = {"BM3D": (32.37, 29.97, 26.72), "TNRD": (32.50, 30.06, 26.81), "DnCNN": (32.86, 30.44, 27.18)}
QUOTED_AT = {25: {"a convex ridge regulariser": 28.87}}
SMALL, LARGEST = 400_000, 5e6  # parameters, bytes
PLAIN = Path("microlocal-training/dncnn/weights.safetensors")  # of recipes/dncnn.toml, where somebody trained it
WHERE = "Set12, sigma {}, {}"
Denoiser = Callable[[Float[Tensor, "row col"], float], Float[Tensor, "row col"]]


@lru_cache(maxsize=1)
def images(folder: Path) -> list[Float[Tensor, "row col"]]:
    return [slices_of(path)[0] for path in sorted(folder.glob("*.png"))]


def noisy(clean: Float[Tensor, "row col"], level: float, seed: int) -> Float[Tensor, "row col"]:
    return clean + level / 255 * torch.randn(clean.shape, generator=generator(seed))


def score(run: Denoiser, level: float, clean: list[Float[Tensor, "row col"]]) -> float:
    """Return the mean PSNR over the images."""
    found = []
    for seed, image in enumerate(clean):
        error = run(noisy(image, level, seed), level / 255) - image
        found.append(-10 * math.log10(float(error.square().mean())))
    return sum(found) / len(found)


def networks() -> dict[str, Path]:
    """Return the shipped denoisers by name."""
    return {name: path for name, path in shipped_weights().items() if read_card(path).get("task") == TASK}


def by_network(path: Path) -> Denoiser:
    """Return a network as it was trained: on images in [0, 1], which these are."""
    network, _ = load_denoiser(path)

    def run(image: Float[Tensor, "row col"], level: float) -> Float[Tensor, "row col"]:
        with torch.no_grad():
            found: Tensor = network(image[None, None], level)
        return found[0, 0]

    return run


def on_set12(folder: Path) -> list[Row]:
    """PSNR of all denoisers at three levels."""
    clean = images(folder)
    plain: dict[str, Denoiser] = {
        "Perona-Malik": lambda y, s: denoise_diffusion(y, noise=s).image,
        "tv": lambda y, s: denoise_tv(y, noise=s).image,
        "shearlet": lambda y, s: denoise(y, noise=s).image,
    }
    trained = {name: by_network(path) for name, path in networks().items()}
    rows = []
    for k, level in enumerate(LEVELS):
        for name, run in (plain | trained).items():
            rows.append(_row(name, level, score(run, level, clean)))
        quoted = {name: values[k] for name, values in QUOTED.items()} | QUOTED_AT.get(level, {})
        rows += [_plain_row(name, WHERE.format(level, "quoted"), value) for name, value in quoted.items()]
    return rows


def _row(name: str, level: int, found: float) -> Row:
    where = WHERE.format(level, "seeds 0 to 11")
    asked = ASKED.get(name) if level == ASKED_AT else None
    if asked is None:
        return _plain_row(name, where, found)
    return at_least(PSNR.format(name), where, found, asked, "{:.2f}")


def _plain_row(name: str, where: str, found: float) -> Row:
    return Row(PSNR.format(name), where, "", f"{found:.2f}", None)


def blind(folder: Path) -> Row:
    """The error of the noise level that is estimated from one image, the largest mean over the levels."""
    worst = 0.0
    for level in (10, 25, 50):
        gaps = [float(image_noise(noisy(image, level, k))) * 255 / level - 1 for k, image in enumerate(images(folder))]
        worst = max(worst, sum(map(abs, gaps)) / len(gaps))
    return at_most("error of the estimated noise, mean over the images", "Set12, sigma 10, 25, 50", worst, 0.05)


def whole_way(folder: Path) -> Row:
    """What a user of the command line gets: scaled by the image itself, the noise level estimated."""
    found = score(lambda y, s: denoise_network(y, "shrinkage").image, 25, images(folder))
    where = "Set12, sigma 25 estimated, images scaled by themselves"
    return Row("PSNR of denoise_network, dB", where, "", f"{found:.2f}", None)


def attacks() -> list[Row]:
    """The worst amplification of a small change near images with noise, for the same budget."""
    found = networks() | ({"dncnn": PLAIN} if PLAIN.exists() else {})
    rows = []
    for name, path in found.items():
        network, _ = load_denoiser(path)
        size = sum(p.numel() for p in network.parameters())
        where = f"{SIDE}² images with noise 0.02, 0.1, 0.2; {LONG.steps} steps of ascent; {size} parameters"
        worst = measure(network, (1, SIDE, SIDE), LONG)["|N(u + d) - N(u)|/|d|"]
        bound = network.guarantee().lipschitz if isinstance(network, Certified) else math.inf
        what = f"worst ‖N(u + d) - N(u)‖ / ‖d‖ of {name}"
        unproved = Row(what, where, "no bound", f"{worst:.3g}", None)
        rows.append(at_most(what, where, worst, bound + 1e-6, "{:.4g}") if math.isfinite(bound) else unproved)
    return rows


def sizes() -> list[Row]:
    """Parameters and bytes of what ships."""
    counts = {name: read_card(path)["parameters"] for name, path in networks().items()}
    rows = [at_most(f"parameters of {name}", "weights that ship", n, SMALL, "{:.0f}") for name, n in counts.items()]
    total = sum(path.stat().st_size for path in networks().values())
    return [*rows, at_most("bytes of the denoisers", "weights that ship", total, LARGEST, "{:.3g}")]


def suite() -> list[Row]:
    """All rows."""
    folder = shared()
    if not networks():
        return [absent("denoising", "no weights of denoisers ship with this version")]
    if folder is None:
        return [absent("denoising", "the development data are not here: set MICROLOCAL_SHARED"), *attacks(), *sizes()]
    data = folder / "data" / "denoising" / "Set12"
    return [*on_set12(data), blind(data), whole_way(data), *attacks(), *sizes()]
