"""From a scan to a reconstruction: run the method, check it on held-out views, say what was measured, certify."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from torch import Tensor

from microlocal.calibration.noise import noise_level
from microlocal.calibration.outline import air_around
from microlocal.core.checks import at_least, positive, refuse_sizes
from microlocal.core.errors import InputError
from microlocal.core.grid import Grid
from microlocal.core.interruption import stopping
from microlocal.core.progress import SILENT, Progress
from microlocal.core.provenance import Provenance
from microlocal.core.registry import Entry, lookup, registered
from microlocal.core.scan import Scan
from microlocal.frames.shearlet import ShearletFrame
from microlocal.networks.catalogue import find_weights
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.claims import all_directions, certify_explained, certify_operators, told_sources
from microlocal.reconstruction.data_fit import checked_residual, fitted
from microlocal.reconstruction.images.estimate import ImageEstimate
from microlocal.reconstruction.method import Estimate, Settings, unused
from microlocal.reconstruction.observation import Observation
from microlocal.reconstruction.observed import reconstruct_observation
from microlocal.reconstruction.result import Reconstruction
from microlocal.wavefront import label_edges, missing_wedge, visible_share

INTERRUPTED = "Interrupted while the image was checked; it is as the method left it, and all checks were made."


def methods(kind: str = "method") -> dict[str, Entry]:
    """Return the registered methods by name: those of scans, or of any operator (``kind`` "observation-method")."""
    return registered(kind)


@overload
def reconstruct(
    scan: Scan,
    method: str = ...,
    *,
    grid: Grid | None = ...,
    weight: float | str = ...,
    iterations: int | None = ...,
    hold_out: int = ...,
    seed: int = ...,
    progress: Progress = ...,
    checkpoint: Path | None = ...,
    network: str | Path = ...,
    force: bool = ...,
    residual: float | None = ...,
) -> Reconstruction: ...


@overload
def reconstruct(
    scan: Observation,
    method: str = ...,
    *,
    weight: float | str = ...,
    iterations: int | None = ...,
    seed: int = ...,
    progress: Progress = ...,
    checkpoint: Path | None = ...,
    network: str | Path = ...,
    force: bool = ...,
    residual: float | None = ...,
) -> ImageEstimate: ...


def reconstruct(
    scan: Scan | Observation,
    method: str = "shearlet",
    *,
    grid: Grid | None = None,
    weight: float | str = "auto",
    iterations: int | None = None,
    hold_out: int = 0,
    seed: int = 0,
    progress: Progress = SILENT,
    checkpoint: Path | None = None,
    network: str | Path = "auto",
    force: bool = False,
    residual: float | None = None,
) -> Reconstruction | ImageEstimate:
    """Reconstruct ``scan`` on ``grid`` (the scan's own by default) by a registered method.

    An :class:`Observation`, data with any operator of images, goes the same way by the methods that need no rays
    (``methods("observation-method")``) and gives an ``ImageEstimate``; it takes neither ``grid`` nor ``hold_out``.

    ``weight`` of the regulariser, "auto" to choose it from the data; ``hold_out`` views are kept from the method and
    predicted from its image, the relative error is in ``metrics``; Ctrl-C ends the iteration and keeps the best
    iterate. Methods with a network take ``network``: "auto" for shipped weights that suit the scan, "none", the name of
    shipped ones, or a file of weights; ``force`` uses them on a scan unlike those they were trained on. With
    ``residual`` the image of the method is changed as little as it takes until |A f - g| is at most that share of |g|
    (``data_fit``): below the noise, it is noise that the change follows.

    Raises UnknownNameError for a method or weights of a name that nobody knows, InputError for data, a weight or a
    number of iterations that cannot be used.

    >>> from microlocal.data import needle
    >>> result = reconstruct(needle().slices(0), method="fbp")
    >>> result.image.shape
    torch.Size([256, 256])
    """
    file = str(network) if network in ("auto", "none") else str(find_weights(network))
    if iterations is not None:
        iterations = at_least(iterations, 1, "iterations", "reconstruct")
    residual = checked_residual(residual, "reconstruct")
    settings = Settings(_given_weight(weight), iterations, seed, checkpoint, progress, file, force)
    if isinstance(scan, Observation):
        _refuse_for_scans_only(grid, hold_out)
        return reconstruct_observation(scan, method, settings, residual)
    entry = lookup("method", method, "reconstruct")
    _refuse_hopeless(scan)
    used, held = scan.hold_out(hold_out) if hold_out else (scan, None)
    target_grid = grid.in_unit(scan.geometry.unit) if grid else scan.grid
    began = time.monotonic()
    estimate: Estimate = entry.member(used, target_grid, settings)
    if residual is not None:
        ray = RayTransform(used.geometry, target_grid)
        estimate = fitted(estimate, ray, used.data, residual, progress)
    seconds = time.monotonic() - began
    config = _config(method, settings, hold_out, target_grid) | estimate.config
    notes = (*estimate.notes, *unused(settings, estimate))
    with stopping() as stop:  # the image is there: Ctrl-C must not lose it
        result = _examined(estimate, method, used, held, target_grid)
    if stop.is_set():
        config["status"], notes = "interrupted", (*notes, INTERRUPTED)
    references = tuple(dict.fromkeys((entry.reference, "joseph1982", "quinto1993", "kutyniok2023")))
    metrics = {"seconds": seconds} | result.metrics
    return replace(result, metrics=metrics, config=config, notes=notes, references=references)


def _examined(estimate: Estimate, method: str, used: Scan, held: Scan | None, grid: Grid) -> Reconstruction:
    """Return the image with what can be told of it: certificates, provenance, edges, metrics."""
    began = time.monotonic()
    ray = RayTransform(used.geometry, grid)
    data = estimate.correct(used.data)
    residual = ray(estimate.image) - data
    metrics = {"noise per ray": noise_level(used.data)}
    metrics["relative residual"] = float(residual.norm() / data.norm().clamp_min(1e-30))
    if held is not None:
        metrics |= _hold_out_error(held, grid, estimate)
    frame = ShearletFrame(grid.shape)
    share = visible_share(frame.filters, used.geometry, grid)
    certificates = (
        certify_explained(ray, estimate.image, data, estimate.config),
        *certify_operators(ray, frame),
        *estimate.certificates,
    )
    shares, provenance = told_sources(estimate.image, estimate.learned, frame, share)
    metrics |= {"missing wedge degrees": missing_wedge(used.geometry)} | shares
    edges, edges_visible = _edges_of_the_object(estimate, used, grid)
    metrics["seconds of checks"] = time.monotonic() - began
    return Reconstruction(
        image=estimate.image,
        scan=replace(used, data=data, grid=grid),
        method=method,
        provenance=provenance,
        edges=edges,
        measured_directions=all_directions(frame, share).expand(grid.shape).clone(),
        residual=residual,
        learned=estimate.learned,
        edges_visible=edges_visible,
        certificates=certificates,
        history=estimate.history,
        metrics=metrics,
    )


def _refuse_for_scans_only(grid: Grid | None, hold_out: int) -> None:
    if grid is not None or hold_out:
        got = "a grid" if grid is not None else f"hold_out = {hold_out}"
        do = "Leave it out, or give a Scan."
        raise InputError("reconstruct", expected="of an observation, neither grid nor hold_out", got=got, do=do)


def _given_weight(weight: float | str) -> float | None:
    if weight == "auto":
        return None
    if isinstance(weight, str):
        raise InputError("reconstruct", expected="weight: a number or 'auto'", got=repr(weight), do="Mend the weight.")
    return float(positive(weight, "weight", "reconstruct"))


def _refuse_hopeless(scan: Scan) -> None:
    refuse_sizes(scan.data, "reconstruct")
    spread = float(scan.data.max() - scan.data.min())
    if spread == 0.0:
        got = f"{float(scan.data.flatten()[0]):.4g} everywhere"
        raise InputError("reconstruct", expected="data that vary", got=got, do="Check the file: nothing was recorded.")
    views, pixels = scan.geometry.shape
    if views < 2 or pixels < 2:
        got = f"{views} views of {pixels} pixels"
        raise InputError("reconstruct", expected="at least 2 views of 2 pixels", got=got, do="Give a whole scan.")


def _hold_out_error(held: Scan, grid: Grid, estimate: Estimate) -> dict[str, float]:
    """Return how well the image predicts views it has not seen, relative to the data and to the zero image (1)."""
    predicted = RayTransform(held.geometry, grid)(estimate.image)
    data = estimate.correct(held.data)
    error = float((predicted - data).norm() / data.norm().clamp_min(1e-30))
    return {"hold-out views": float(held.geometry.shape[0]), "hold-out error": error}


def _edges_of_the_object(estimate: Estimate, scan: Scan, grid: Grid) -> tuple[Tensor, Tensor | None]:
    """Return the labelled edges of f, and of f* where a network took part, without those in what the data show to be
    air: streaks outside of the tangents' hull.

    Where the outline is not in view, or no air is, every edge is kept.
    """
    around = air_around(scan, grid).reshape(estimate.image.shape)
    if estimate.learned is None:
        return label_edges(estimate.image, scan.geometry, grid).masked_fill(around, Provenance.NONE), None
    before = estimate.image - estimate.learned
    labels = label_edges(estimate.image, scan.geometry, grid, before=before), label_edges(before, scan.geometry, grid)
    edges, edges_visible = (found.masked_fill(around, Provenance.NONE) for found in labels)
    return edges, edges_visible


def _config(method: str, settings: Settings, hold_out: int, grid: Grid) -> dict[str, Any]:
    return {"method": method, "seed": settings.seed, "hold_out": hold_out, "grid": grid.to_dict()}
