"""What was asked of a stack and what was chosen for it, kept beside the results.

Whoever comes first makes the choices (axis of rotation, weight, block) on a sample of slices and writes them down;
whoever comes later, after a kill or on another machine, takes them over, and is refused if it asks for other things.
"""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from microlocal.calibration.center import find_axis
from microlocal.calibration.noise import noise_level
from microlocal.core.checks import at_least, positive
from microlocal.core.errors import InputError, OutputError
from microlocal.core.grid import Grid
from microlocal.core.progress import Progress
from microlocal.core.registry import lookup
from microlocal.core.scan import Scan
from microlocal.frames.shearlet import ShearletFrame
from microlocal.io.atomic import writing
from microlocal.io.jsonable import jsonable
from microlocal.io.stack import Stack
from microlocal.networks.catalogue import find_weights
from microlocal.networks.weights import name_of, read_card
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.claims import certify_operators
from microlocal.reconstruction.data_fit import checked_residual
from microlocal.reconstruction.learn_the_invisible import BASE
from microlocal.reconstruction.method import SHA256, Estimate, Settings, interrupted
from microlocal.reconstruction.stack_job import prepared
from microlocal.reconstruction.verdict import WHY

WITHOUT_AXIS = ("dxchange",)  # formats that do not hold the axis of rotation
MOST_SLICES, BLOCK_BYTES = 16, 1 << 30
# How many arrays of the image's or the data's size a method holds at once.
COPIES = {"fbp": 10, "cgls": 14}
USUAL_COPIES = 40
QUICK = ("fbp",)  # methods that take less time than it takes to examine their slices


@dataclass(frozen=True)
class StackRequest:
    """What a user asks for.

    Parameters: ``method``; ``weight`` (None: chosen on the sample); ``iterations``; ``seed``; ``grid`` (None: the
    file's); ``center``, "auto", "file" or a detector pixel (None: as in the file, found where it says nothing);
    ``arc`` of views in degrees; ``slices`` first and last + 1; ``block``, slices together (None: by memory); ``form``
    of the volume; ``network``, "auto", "none", the name of shipped ones or a file, and ``force``, as for
    ``reconstruct``; ``checks``, whether every slice gets provenance and certificates (None: but for ``QUICK`` methods);
    ``residual``, a share of the data that every slice is brought to afterwards.
    Raises InputError for a weight, iterations or a block that are not above zero.
    """

    method: str = "shearlet"
    weight: float | None = None
    iterations: int | None = None
    seed: int = 0
    grid: Grid | None = None
    center: str | float | None = None
    arc: tuple[float, float] | None = None
    slices: tuple[int, int] | None = None
    block: int | None = None
    form: str = "tiff"
    network: str = "auto"
    force: bool = False
    checks: bool | None = None
    residual: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None:
            positive(self.weight, "weight", "stack")
        checked_residual(self.residual, "stack")
        for name, count in (("iterations", self.iterations), ("block", self.block)):
            if count is not None:
                at_least(count, 1, name, "stack")

    @property
    def checked(self) -> bool:
        """Whether every slice is examined."""
        return self.method not in QUICK if self.checks is None else self.checks

    def grid_for(self, stack: Stack, own: Grid) -> Grid:
        """Return the grid of the slices: the one that was asked for, or the stack's ``own``."""
        return own if self.grid is None else self.grid.in_unit(stack.geometry.unit)

    def fields(self, stack: Stack) -> dict[str, Any]:
        """Return the request with the mark of its data as plain JSON values: what two runs must have in common."""
        asked = asdict(self) | {"grid": None if self.grid is None else self.grid.to_dict(), "checks": self.checked}
        if self.network not in ("auto", "none"):
            file = find_weights(self.network)
            asked["network"] = f"{name_of(file)}, SHA-256 {read_card(file)['sha256']}"
        return jsonable({"data": stack.fingerprint(), "version": version("microlocal")} | asked)


@dataclass(frozen=True)
class Choices:
    """What was chosen once for all slices, and the sentences that say so.

    ``network`` "none", or the name of the weights for all slices, and the SHA-256 of their tensors, both "" for methods
    that have none; ``base``, the method of the images that they complete; ``certificates`` of projector and frame.
    """

    center_pixels: float | None
    weight: float | None
    block: int
    notes: tuple[str, ...] = ()
    network: str = ""
    network_sha256: str = ""
    base: str = ""
    certificates: tuple[dict[str, Any], ...] = ()


def wanted_slices(request: StackRequest, stack: Stack) -> range:
    """Return the numbers of the slices; raises InputError for some that are not there."""
    first, last = request.slices or (0, len(stack))
    if not 0 <= first < last <= len(stack):
        do = "Choose others."
        got = f"{first}:{last}"
        raise InputError("stack", expected=f"slices within 0..{len(stack) - 1}", got=got, do=do)
    return range(first, last)


def chosen(request: StackRequest, stack: Stack, progress: Progress) -> Choices:
    """Make the choices on the sample of slices; the heaviest one is reconstructed, so that mistakes show at once."""
    sample = stack.sample()
    notes: list[str] = []
    center = request.center
    if center is None:
        center = "auto" if stack.source.format in WITHOUT_AXIS else "file"
    if center == "auto" and sample.scan is not None:
        axis = find_axis(sample.scan)
        center = axis.center_pixels
        notes.append(axis.note)
    pixels = None if isinstance(center, str) else float(center)
    scan = prepared(sample, pixels, request.arc).scan
    if scan is None:
        raise InputError("stack", expected="usable slices", got="none in the sample", do="Look at the file.")
    heaviest = scan.slices(int(scan.data.flatten(1).norm(dim=1).argmax()))
    notes.append(f"The noise is {noise_level(heaviest.data):.3g} per ray in the heaviest slice of the sample.")
    weight = request.weight
    estimate = _trial(request, heaviest, progress)
    if weight is None and estimate.config.get("weight chosen by", "user") != "user":
        weight, why = float(estimate.config["weight"]), estimate.notes[0]
        notes.append(f"{why} It holds for all slices; this is said of the heaviest slice of the sample.")
    network, sha256, base = (str(estimate.config.get(name, "")) for name in ("network", SHA256, BASE))
    if network:
        told = "Each slice is looked at by itself; of the heaviest of the sample: "
        told = told if network != "none" else "For all slices, by the heaviest of the sample: "
        notes.append(told + str(estimate.config.get(WHY, network)))
    block, claims = request.block or _block(request, heaviest), _claims(request, stack, heaviest)
    return Choices(pixels, weight, block, tuple(notes), network, sha256, base, claims)


def _claims(request: StackRequest, stack: Stack, scan: Scan) -> tuple[dict[str, Any], ...]:
    """Return the certificates that all slices share, as JSON values; none where slices are not examined."""
    if not request.checked:
        return ()
    grid = request.grid_for(stack, scan.grid)
    issued = certify_operators(RayTransform(scan.geometry, grid), ShearletFrame(grid.shape))
    return tuple(jsonable(certificate.to_dict()) for certificate in issued)


def _trial(request: StackRequest, scan: Scan, progress: Progress) -> Estimate:
    """Reconstruct one slice, which shows what the method chooses from the data."""
    method = lookup("method", request.method, "stack").member
    settings = Settings(
        request.weight, request.iterations, request.seed, None, progress, request.network, request.force
    )
    estimate: Estimate = method(scan, request.grid or scan.grid, settings)
    if interrupted(estimate.config):
        raise KeyboardInterrupt
    return estimate


def _block(request: StackRequest, scan: Scan) -> int:
    """Return how many slices fit into ``BLOCK_BYTES``, 16 at most: it depends on method and sizes alone."""
    rows, cols = (request.grid or scan.grid).shape
    views, pixels = scan.geometry.shape
    copies = COPIES.get(request.method, USUAL_COPIES)
    bytes_each = 4 * (copies * rows * cols + 10 * views * pixels)
    return max(1, min(MOST_SLICES, BLOCK_BYTES // bytes_each))


def agreed(path: Path, asked: dict[str, Any], choose: Callable[[], Choices]) -> Choices:
    """Return the choices in the plan ``path``, made by ``choose`` and written if there is none.

    Raises InputError when the plan was made for another request, naming the difference.
    """
    if not path.exists():
        _written_once(path, {"request": asked, "choices": jsonable(asdict(choose()))})
    plan = read_plan(path)
    before = plan["request"]
    for name in (*asked, *before):
        if asked.get(name) != before.get(name):
            raise InputError(
                str(path.parent.parent),
                expected=f"{name} = {before.get(name)}, as the run that began here",
                got=f"{name} = {asked.get(name)}",
                do="Ask for the same, choose another --out, or begin anew with --fresh.",
            )
    fields = plan["choices"]
    return Choices(**fields | {"notes": tuple(fields["notes"]), "certificates": tuple(fields["certificates"])})


def read_plan(path: Path) -> dict[str, Any]:
    """Return the request and the choices of a plan; raises OutputError where it is missing or damaged."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        return {"request": dict(plan["request"]), "choices": dict(plan["choices"])}
    except (OSError, ValueError, TypeError, LookupError) as error:
        got = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        do = "Begin anew with --fresh, or give the folder of a stack."
        raise OutputError(str(path), expected="the plan of a stack", got=got, do=do) from error


def _written_once(path: Path, plan: dict[str, Any]) -> None:
    """Write a plan unless somebody else was quicker: the first one holds for all."""
    mine = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mine.write_text(json.dumps(plan, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            os.link(mine, path)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            if path.exists() or not mine.exists():
                raise
            mine.replace(path)
        finally:
            mine.unlink(missing_ok=True)
