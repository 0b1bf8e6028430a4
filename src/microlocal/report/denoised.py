"""What is written of a denoised or restored picture: the result, what changed, the certificate, and their page."""

import importlib.metadata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import OutputError
from microlocal.io.atomic import replacing
from microlocal.io.photograph import FORMS, Photograph, write_photograph
from microlocal.io.reader import sha256
from microlocal.io.values import write_json
from microlocal.reconstruction.images.colours import DenoisedPages
from microlocal.reconstruction.images.models import Denoiser
from microlocal.reconstruction.images.scale import SILENCE
from microlocal.report.denoised_page import Shown, render_denoised_page
from microlocal.report.denoised_views import REACH, around_zero, as_png, grey, window_of
from microlocal.report.html import write_page
from microlocal.report.picture_jobs import DENOISED, Job

ROUNDED = (
    "What is proved is said of the values before they were rounded to the {} of the file; clipping them to its range \
takes nothing away."
)
COLOURS = "Colours were {} as luminance and two differences of colours, which are orthogonal to each other."
STEPS = "After {} iterations |T(u) - u| is {:.2g} of |u|{}."
SOONER = "; these were all that were allowed, more --iterations may still change the result"
JPEG = "Compression has smoothed the noise of this JPEG: it is estimated too low. Give --sigma to remove more."
CARD = ("task", "architecture", "trained on", "parameters", "steps", "minutes", "device", "seed", "command", "metrics",
        "licence", "version", "sha256")  # fmt: skip


@dataclass(frozen=True, eq=False)
class DenoisedPicture:
    """A picture, what became of it, by which denoiser, and the noise level that was given (None: estimated).

    ``job``, what was done; ``known``, the pixels that were, where others were filled in.
    """

    picture: Photograph
    found: DenoisedPages
    denoiser: Denoiser
    given: float | None
    job: Job = DENOISED
    known: Bool[np.ndarray, "page row col"] | None = None

    @cached_property
    def after(self) -> Float[np.ndarray, "page channel row col"]:
        return to_numpy(self.found.values)

    @property
    def page(self) -> int:
        """The page that is shown: the middle one."""
        return len(self.after) // 2

    @cached_property
    def removed(self) -> Float[np.ndarray, "channel row col"]:
        """What was removed from the page that is shown."""
        return self.picture.values[self.page] - self.after[self.page]

    @cached_property
    def shown(self) -> Shown:
        """What the page and the other picture show."""
        before, after = np.nan_to_num(self.picture.values[self.page]), self.after[self.page]
        known = np.ones_like(before, bool) if self.known is None else self.known[self.page] & np.ones_like(before, bool)
        window = window_of(before[known], self.picture.white, 8 * self.picture.kind.itemsize)
        window = window[::-1] if self.picture.negative else window
        if self.known is None:
            return Shown(self.page, before, after, self.removed, window, around_zero(self.reach))
        return Shown(self.page, before, after, np.where(known, sum(window) / 2, after), window, window)

    @property
    def reach(self) -> float:
        """What is removed is black and white from here on."""
        return REACH * (self.spread if self.job.undoes else max(self.noise, self.spread))

    @property
    def steps(self) -> dict[str, Any]:
        """How a fixed point was closed in on: the worst of all planes; empty where none was."""
        run = [one for one in self.found.records if "fixed-point residual" in one]
        if not run:
            return {}
        worst = max(run, key=lambda one: float(one["fixed-point residual"]))
        most = max(int(one["iterations"]) for one in run)
        return {"iterations": most, "fixed-point residual": worst["fixed-point residual"], "status": worst["status"]}

    @property
    def noise(self) -> float:
        """The noise of a channel: the root mean square over all planes, 0 where an estimate is all rounding."""
        level = float(self.found.noise.double().square().mean().sqrt())
        greatest = float(np.nanmax(np.abs(self.picture.values[self.page]), initial=0.0))
        return 0.0 if self.given is None and level <= SILENCE * greatest else level

    @property
    def spread(self) -> float:
        """The standard deviation of what was removed from the page that is shown; squares of float32 may overflow."""
        return float(self.removed.std(dtype=np.float64))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        kind = self.picture.kind
        said = [COLOURS.format(self.job.name)] * (self.after.shape[1] == 3)
        if steps := self.steps:
            end = SOONER if steps["status"] == "budget" else ""
            said += [STEPS.format(steps["iterations"], steps["fixed-point residual"], end)]
        said += [JPEG] * (self.picture.form == "jpeg" and self.given is None)
        said += [ROUNDED.format(kind)] * (kind.kind != "f" and bool(self.found.certificates))
        return (*self.found.notes, *said)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What certificate.json says."""
        pages, channels, rows, cols = self.after.shape
        card = self.denoiser.card
        changed = {"page": self.page, "mean": float(self.removed.mean()), "std": self.spread}
        special: dict[str, Any] = {} if self.job.fills else {self.job.third: changed}
        special |= {"left": float(self.found.left.double().square().mean().sqrt())} if self.job.undoes else {}
        special |= {"steps": self.steps} if self.steps else {}
        return {
            "picture": self.picture.path.name,
            "sha256": sha256([self.picture.path]),
            "shape": {"pages": pages, "channels": channels, "rows": rows, "cols": cols},
            "kind": str(self.picture.kind),
            "opacity": self.picture.opacity is not None,
            "model": self.denoiser.name,
            "reference": self.denoiser.reference,
            "noise": self.noise,
            "noise_is": "estimated" if self.given is None else "given",
            "noise_of_planes": self.found.noise.tolist(),
            **self.job.facts,
            **special,
            "interrupted": self.found.interrupted,
            "notes": list(self.notes),
            "certificates": [certificate.to_dict() for certificate in self.found.certificates],
            "weights": {name: card[name] for name in CARD if name in card},
            "version": importlib.metadata.version("microlocal"),
        }


def write_denoised(done: DenoisedPicture, folder: Path) -> list[Path]:
    """Write denoised.*, removed.png (or their likes), certificate.json and report.html into ``folder``.

    Return their paths.

    Each appears whole or not at all, the page last. Raises OutputError where they cannot be written, or would take the
    place of the picture itself.
    """
    picture = folder / f"{done.job.name}{FORMS[done.picture.form]}"
    if picture.resolve() == done.picture.path.resolve():
        do = "Choose another folder with --out."
        raise OutputError(str(picture), expected="a name of its own", got="the name of the picture itself", do=do)
    write_photograph(done.picture, done.after, picture)
    third = folder / f"{done.job.third}.png"
    with replacing(third) as temporary:
        temporary.write_bytes(as_png(grey(done.shown.third, done.shown.of_third)))
    certificate = write_json(done.fields, folder / "certificate.json")
    text = render_denoised_page(done.picture, done.shown, done.job, done.fields, done.found.certificates)
    return [picture, third, certificate, write_page(text, folder / "report.html")]
