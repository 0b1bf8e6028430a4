"""The page of a denoised or restored picture: before and after under a slider, what changed, proved and learned."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from microlocal.certificates.base import Certificate
from microlocal.io.photograph import Photograph
from microlocal.report import facts
from microlocal.report.denoised_views import views
from microlocal.report.html import ENVIRONMENT, own
from microlocal.report.picture_jobs import Job
from microlocal.report.svg import number

HIDDEN = ("architecture", "sha256", "version", "metrics", "licence", "task")  # of the card: shown elsewhere, or nowhere


class Shown(NamedTuple):
    """The page that is shown: its number, before, after and the third picture, in which windows."""

    page: int
    before: Float[np.ndarray, "channel row col"]
    after: Float[np.ndarray, "channel row col"]
    third: Float[np.ndarray, "channel row col"]
    window: tuple[float, float]
    of_third: tuple[float, float]


def render_denoised_page(
    picture: Photograph, shown: Shown, job: Job, fields: Mapping[str, Any], certificates: Sequence[Certificate]
) -> str:
    """Return the page as text: of the picture, the values that are shown, what was done, and certificate.json."""
    script = own("denoised.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    card = dict(fields["weights"])
    keys = {fields["reference"], *(c.reference for c in certificates)}
    works = [facts.Citation(key, facts.short_citation(key)) for key in sorted(key for key in keys if key)]
    return ENVIRONMENT.get_template("denoised.html.j2").render(
        light=own("light.css"),
        dark=own("dark.css"),
        style=own("report.css") + own("denoised.css"),
        script=Markup(script),
        script_hash=digest,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        number=number,
        short_citation=facts.short_citation,
        title=picture.path.name,
        model=fields["model"],
        lead=_lead(picture, job, fields),
        tiles=_tiles(picture, job, fields),
        views=list(views(*shown[1:])),
        shown=f"Page {shown.page + 1} of {len(picture.values)}; the others are in the file." if picture.paged else "",
        job=job,
        intro=_intro(shown, job, fields),
        certificates=[("", list(certificates))] if certificates else [],
        labels=[""],
        notes=fields["notes"],
        card=facts.nodes(_told(card)),
        licence=card.get("licence", ""),
        kind=card.get("architecture", {}).get("kind", ""),
        metrics=facts.nodes(card.get("metrics", {})),
        record=facts.nodes({"SHA-256 of the picture": fields["sha256"]}
                           | ({"SHA-256 of the weights": card["sha256"]} if card else {})),
        versions=facts.versions(),
        works=works,
        bibtex=facts.cited_bibtex(works),
    )  # fmt: skip


def _told(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the training: the entries of the card that say something."""
    trained = dict(card.get("trained on", {}))
    data = {name: value for name, value in trained.pop("data", {}).items() if value}
    rest = {name: value for name, value in card.items() if name not in (*HIDDEN, "trained on")}
    return trained.pop("ranges", {}) | ({"images": data} if data else {}) | trained | rest


def _intro(shown: Shown, job: Job, fields: Mapping[str, Any]) -> str:
    """Return what is said of the third picture."""
    if job.fills:
        return job.intro
    mean, std = (number(float(fields[job.third][name]), 3) for name in ("mean", "std"))
    return job.intro.format(reach=number(shown.of_third[1], 3), mean=mean, std=std)


def _lead(picture: Photograph, job: Job, fields: Mapping[str, Any]) -> str:
    """Return the sentences that sum it up."""
    if job.fills and not fields["noise"]:
        return f"{job.lead} The known pixels were kept."
    if not fields["noise"]:
        return " ".join(filter(None, [job.lead, "No noise was found in the picture."]))
    how = "was estimated" if fields["noise_is"] == "estimated" else "was given"
    white = picture.white if picture.kind in ("uint8", "uint16") else None
    share = f", {100 * float(fields['noise']) / white:.2g} % of white" if white else ""
    noise = f"The noise has a standard deviation of {number(float(fields['noise']), 3)}{share}, which {how}."
    return " ".join(filter(None, [job.lead, noise, "The known pixels were denoised." if job.fills else ""]))


def _tiles(picture: Photograph, job: Job, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    shape = fields["shape"]
    pages = f"{shape['pages']} pages, " if picture.paged else ""
    colours = "colours" if shape["channels"] == 3 else "grey"
    opacity = ", opacity kept" if fields["opacity"] else ""
    how = "the known pixels are kept" if job.fills and not fields["noise"] else str(fields["noise_is"])
    if job.fills:
        filled = fields["filled"]
        pixels = f"{filled['pixels']} pixel{'s' * (filled['pixels'] != 1)}"
        second = ("filled in", f"{100 * filled['share']:.3g} %", f"{pixels}, {filled['provenance']}")
    elif job.undoes:
        second = ("left", number(float(fields["left"]), 3), "of the data, by the blurred result: noise, at best")
    else:
        second = ("removed", number(float(fields["removed"]["std"]), 3), "its standard deviation")
    return [
        ("noise level", number(float(fields["noise"]), 3), how),
        second,
        ("picture", f"{shape['cols']} x {shape['rows']}", f"{pages}{colours}, {fields['kind']}{opacity}"),
        ("model", str(fields["model"]), "a trained network" if fields["weights"] else "nothing learned"),
    ]
