"""Deblurring and inpainting of single planes by name, in the form in which whole pictures take them.

By plug-and-play and red, certified fixed points with a trained denoiser; by flows that were trained for it; by
shearlets, a falling threshold; by total variation through ``reconstruct``. A plane of one value, such as a difference
of colours of a grey picture, is itself.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import registered
from microlocal.networks import deblurring_flow, inpainting_flow
from microlocal.networks.catalogue import find_weights
from microlocal.networks.denoisers import load_denoiser
from microlocal.networks.weights import name_of, read_card
from microlocal.operators.convolution import Convolution
from microlocal.operators.mask import Mask
from microlocal.reconstruction.images.blur import Blur
from microlocal.reconstruction.images.colours import DenoisedPages, denoise_pages
from microlocal.reconstruction.images.deblur import deblur
from microlocal.reconstruction.images.deblur_network import LEAST_NOISE, deblur_network
from microlocal.reconstruction.images.estimate import ImageEstimate
from microlocal.reconstruction.images.inpaint import inpaint
from microlocal.reconstruction.images.inpaint_network import inpaint_network
from microlocal.reconstruction.images.models import Denoiser
from microlocal.reconstruction.images.plug_and_play import blurred, deblur_plug_and_play, inpaint_plug_and_play
from microlocal.reconstruction.method import Settings
from microlocal.reconstruction.observation import Observation
from microlocal.reconstruction.observed import reconstruct_observation

DEBLURRING, INPAINTING = deblurring_flow.TASK, inpainting_flow.TASK
SCHEMES = ("plug-and-play", "red")
FLOW = "stopped-flow"
MODELS = (*SCHEMES, "shearlet", "tv", FLOW)
RECIPE = "microlocal train recipes/stopped-flow-{}.toml"  # of which no weights ship
LOADERS = {DEBLURRING: deblurring_flow.load_deblurring, INPAINTING: inpainting_flow.load_inpainting}  # of flows
WEIGHTS = "nonexpansive"
ITERATIONS = 50  # of the schemes: a person's patience; more change pictures by little
THRESHOLDS = 60  # iterations of shearlets
METHODS = {  # of MODELS, for deblurring and inpainting: where their references are registered
    "shearlet": ("image-method", {DEBLURRING: "deblur", INPAINTING: "inpaint"}),
    "tv": ("observation-method", {DEBLURRING: "tv", INPAINTING: "tv"}),
    "plug-and-play": ("observation-method", {DEBLURRING: "plug-and-play", INPAINTING: "plug-and-play"}),
    "red": ("observation-method", {DEBLURRING: "red", INPAINTING: "red"}),
    FLOW: ("image-method", {DEBLURRING: "deblur-network", INPAINTING: "inpaint-network"}),
}

Plane = Float[Tensor, "row col"]


class Choice(NamedTuple):
    """What was chosen: the model, the file or name of its weights, its iterations (None for the model's own)."""

    model: str = "plug-and-play"
    weights: str = WEIGHTS
    iterations: int | None = None

    @property
    def learned(self) -> bool:
        """Whether a trained network takes part."""
        return self.model in (*SCHEMES, FLOW)


def choice_of(
    model: str | None, weights: str | Path | None, iterations: int | None = None, task: str = DEBLURRING
) -> Choice:
    """Return what was asked for, by default plug-and-play with the weights that ship; weights of a flow are a flow.

    Raises UnknownNameError for other models, InputError for weights with a model that takes none, or others.
    """
    known = tuple(name for name in MODELS if task in METHODS[name][1])
    name = model or (FLOW if weights is not None and _is_flow(weights) else "plug-and-play")
    if name not in known:
        raise UnknownNameError("--model", name, known)
    if name == FLOW:
        return _flow_of(weights, iterations, task)
    if weights is not None and name not in SCHEMES:
        do = f"Take {' or '.join(SCHEMES)}, or leave the weights out."
        raise InputError(f"--model {name}", expected="no weights: it uses no network", got=str(weights), do=do)
    file = WEIGHTS if weights is None else str(weights)
    if name in SCHEMES:
        load_denoiser(file)
        iterations = iterations or ITERATIONS
    return Choice(name, file, iterations)


def _is_flow(weights: str | Path) -> bool:
    return read_card(find_weights(weights)).get("task") in LOADERS


def _flow_of(weights: str | Path | None, iterations: int | None, task: str) -> Choice:
    who = f"--model {FLOW}"
    if weights is None:
        do = f"Train some, {RECIPE.format(task)}, and give --weights."
        raise InputError(who, expected="weights, for none ship", got="none", do=do)
    if iterations is not None:
        do = "Leave --iterations out."
        raise InputError(who, expected="the steps that it was trained with", got=f"--iterations {iterations}", do=do)
    LOADERS[task](weights)
    return Choice(FLOW, str(weights))


def deblurrer(choice: Choice, blur: Blur) -> Denoiser:
    """Return what undoes a blur of planes."""
    return _restorer(choice, DEBLURRING, partial(_deblurred, choice, blur))


def inpainter(choice: Choice) -> Denoiser:
    """Return what fills in the pixels of planes that are NaN; known ones are kept where there is no noise."""
    return _restorer(choice, INPAINTING, partial(_inpainted, choice))


def inpaint_pages(
    pages: Float[Tensor, "page channel row col"],
    known: Bool[Tensor, "page row col"],
    choice: Choice,
    noise: float | None = 0.0,
    progress: Progress = SILENT,
) -> DenoisedPages:
    """Fill in the pixels of pages, grey or colours, that are not ``known``.

    ``noise`` in the known ones: 0, they are kept bit for bit; None, it is estimated. Pages that were not reached have
    the mean of the known pixels in their gaps. Raises InputError for a page of which nothing is known.
    """
    for page, marks in enumerate(known):
        if not bool(marks.any()):
            do = "Leave the page out, or look whether the mask is the wrong way round: non-zero is known."
            raise InputError("inpaint_pages", expected="known pixels", got=f"none on page {page + 1}", do=do)
    gaps = ~known[:, None].expand(pages.shape)
    found = denoise_pages(pages.masked_fill(gaps, torch.nan), inpainter(choice), noise, progress)
    means = pages.masked_fill(gaps, torch.nan).nanmean(dim=(-2, -1), keepdim=True)
    values = torch.where(found.values.isnan(), means, found.values)
    kept = (found.noise == 0).all(dim=1)[:, None, None, None] & ~gaps
    return replace(found, values=torch.where(kept, pages, values))


def _restorer(choice: Choice, task: str, run: Callable[[Plane, float, Progress], ImageEstimate]) -> Denoiser:
    kind, names = METHODS[choice.model]
    card: dict[str, Any] = {}
    if choice.learned:
        load = LOADERS[task] if choice.model == FLOW else load_denoiser
        card = dict(load(choice.weights)[1]) | {"name": name_of(choice.weights)}
    reference = registered(kind)[names[task]].reference

    def safe(plane: Plane, noise: float | None, progress: Progress) -> ImageEstimate:
        seen = plane[~plane.isnan()]
        if bool(seen.min() == seen.max()):
            return _itself(plane.nan_to_num(float(seen[0])))
        return run(plane, noise or 0.0, progress)

    return Denoiser(choice.model, safe, card, reference, task, without_noise=True)


def _itself(plane: Plane) -> ImageEstimate:
    return ImageEstimate(plane, torch.zeros_like(plane), plane.new_zeros(()))


def _deblurred(choice: Choice, blur: Blur, plane: Plane, noise: float, progress: Progress) -> ImageEstimate:
    rows, cols = int(plane.shape[0]), int(plane.shape[1])
    kernel = blur.within((rows, cols), "deblur").kernel
    level = max(noise, LEAST_NOISE * float(plane.max() - plane.min()))
    if choice.model == "shearlet":
        count = choice.iterations or THRESHOLDS
        return _told(deblur(plane, kernel, noise=level, iterations=count, progress=progress))
    if choice.model == "tv":
        observation, inside = blurred(plane, kernel, "deblur", level)
        found = _told(reconstruct_observation(observation, "tv", _settings(choice, progress)))
        image = found.image[inside].contiguous()
        return replace(found, image=image, residual=plane - Convolution(kernel, (rows, cols))(image))
    if choice.model == FLOW:
        found = deblur_network(plane, kernel, choice.weights, noise=level, progress=progress)
        return replace(found, notes=("", *found.notes[1:]))
    return _by_scheme(choice, deblur_plug_and_play, plane, kernel, level, progress)


def _inpainted(choice: Choice, plane: Plane, noise: float, progress: Progress) -> ImageEstimate:
    known = ~plane.isnan()
    values, level = plane.nan_to_num(0.0), noise or None
    if level is None and bool(known.all()):
        return _itself(values)
    if choice.model == "shearlet":
        count = choice.iterations or THRESHOLDS
        return _told(inpaint(values, known, noise=level, iterations=count, progress=progress))
    if choice.model == FLOW:
        found = inpaint_network(values, known, choice.weights, noise=level, progress=progress)
        return replace(found, notes=("", *found.notes[2:]))
    if choice.model == "tv":
        observation = Observation(values, Mask(known), noise)
        return _told(reconstruct_observation(observation, "tv", _settings(choice, progress)))
    return _by_scheme(choice, inpaint_plug_and_play, values, known, level, progress)


def _by_scheme(
    choice: Choice,
    solve: Callable[..., ImageEstimate],
    plane: Plane,
    how: Tensor,
    noise: float | None,
    progress: Progress,
) -> ImageEstimate:
    """Return the fixed point of plug-and-play or red; ``how`` the plane came: its kernel, or its known pixels."""
    found = solve(
        plane,
        how,
        choice.weights,
        noise=noise,
        iterations=choice.iterations or ITERATIONS,
        scheme=choice.model,
        progress=progress,
    )
    return _told(found)


def _settings(choice: Choice, progress: Progress) -> Settings:
    return Settings(iterations=choice.iterations, progress=progress)


def _told(found: ImageEstimate) -> ImageEstimate:
    """Return the estimate with the notes that are not told of the whole picture: noise, weight, how it ended, gaps."""
    return replace(found, notes=("", *(note for note in found.notes if "upper bound" in note)))
