"""Convolutional dictionary learning: the atoms by which given images become sparse.

    min  Σ_i 1/2 |y_i - Σ_k d_k * c_ik|² + λ |c|_1      over c and atoms |d_k| <= 1 of a given size

Alternating: activations c by FISTA, atoms d by projected gradients with a proved step. Neither step raises the
objective, which is not convex in both together: the result depends on the seed. Atoms of norm below one are scaled
to one (which lowers the penalty), and an atom that nothing uses starts again from the worst explained patch.
Reference: Wohlberg (2016).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.brief import Brief
from microlocal.core.checks import at_least, positive, whole
from microlocal.core.errors import ShapeError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.seeding import generator
from microlocal.frames.atoms import AtomFrame, ConvolutionalSynthesis
from microlocal.functionals.norms import WeightedL1
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.reconstruction.images.estimate import checked_image
from microlocal.solvers.driver import Driver
from microlocal.solvers.fista import fista

INNER = 15  # steps of each kind a round
LARGEST_SHARE = 0.1  # λ over the largest correlation of an image with a first atom, unless λ is given


@dataclass(frozen=True, eq=False, repr=False)
class LearnedAtoms(Brief):
    """What :func:`learn_atoms` found: ``atoms`` (atom, row, col) of norm one, ``weight`` λ, ``objective`` by round."""

    atoms: Float[Tensor, "atom row col"]
    weight: float
    objective: list[float] = field(default_factory=list)

    def synthesis(self, shape: tuple[int, int]) -> ConvolutionalSynthesis:
        """Return the operator from activation maps to images of ``shape``."""
        return ConvolutionalSynthesis(self.atoms, shape)

    def frame(self, shape: tuple[int, int]) -> AtomFrame:
        """Return the Parseval frame that the atoms complete to on images of ``shape``."""
        return AtomFrame(shape, self.atoms)

    def activations(
        self, images: Float[Tensor, "*batch row col"], iterations: int = 100
    ) -> Float[Tensor, "*batch atom row col"]:
        """Return sparse activation maps of images, argmin 1/2 |y - D c|² + λ |c|_1."""
        y = checked_image(images, "LearnedAtoms.activations")
        at_least(iterations, 1, "iterations", "LearnedAtoms.activations")
        operator = self.synthesis((int(y.shape[-2]), int(y.shape[-1])))
        start = y.new_zeros((*y.shape[:-2], *operator.domain_shape))
        driver = Driver(iterations=iterations, every=iterations)
        return fista(operator, SquaredDistance(y), WeightedL1(self.weight), start, driver).value


def learn_atoms(
    images: Float[Tensor, "*batch row col"],
    count: int,
    size: int,
    *,
    weight: float | None = None,
    rounds: int = 30,
    seed: int = 0,
    progress: Progress = SILENT,
) -> LearnedAtoms:
    """Learn ``count`` atoms of ``size`` x ``size`` pixels by which images (*batch, row, col) are sparse.

    Subtract what is smooth first (a low-pass, a mean): atoms are for detail. ``weight`` λ of sparsity in the image's
    unit, a tenth of the largest correlation at the start unless given; ``rounds`` of alternation; ``seed`` of the first
    atoms, which are random patches. The objective of no round exceeds that of the last. Raises InputError for images
    that cannot be used.

    >>> image = torch.zeros(16, 16)
    >>> image[3:6, 4], image[10, 8:11] = 1.0, 1.0
    >>> learned = learn_atoms(image, 2, 3, rounds=3)
    >>> learned.objective[-1] <= learned.objective[0]
    True
    """
    y = checked_image(images, "learn_atoms").reshape(-1, *images.shape[-2:])
    at_least(count, 1, "count", "learn_atoms")
    at_least(rounds, 1, "rounds", "learn_atoms")
    if not 2 <= whole(size, "size", "learn_atoms") <= min(y.shape[-2:]):
        got = f"size = {size}"
        raise ShapeError("learn_atoms", expected="2 <= size <= the image's", got=got, do="Choose another size.")
    source = generator(seed)
    atoms = _patches(y, y.abs(), count, size, source)
    shape = (int(y.shape[-2]), int(y.shape[-1]))
    largest = float(ConvolutionalSynthesis(atoms, shape).adjoint(y).abs().max())
    chosen = LARGEST_SHARE * largest if weight is None else positive(weight, "weight", "learn_atoms")
    maps = y.new_zeros((len(y), count, *shape))
    objective: list[float] = []
    progress.start("learning atoms", rounds)
    for _ in range(rounds):
        maps = _coded(y, atoms, maps, chosen)
        atoms, maps = _improved(y, atoms, maps)
        objective.append(_objective(y, atoms, maps, chosen))
        atoms = _revived(y, atoms, maps, source)
        progress.advance("learning atoms")
    progress.finish("learning atoms")
    return LearnedAtoms(atoms, chosen, objective)


def _objective(y: Tensor, atoms: Tensor, maps: Tensor, weight: float) -> float:
    gap = y - ConvolutionalSynthesis(atoms, (int(y.shape[-2]), int(y.shape[-1])))(maps)
    return float(0.5 * gap.double().square().sum() + weight * maps.double().abs().sum())


def _coded(y: Tensor, atoms: Tensor, maps: Tensor, weight: float) -> Tensor:
    """Return activations that are no worse than ``maps``: FISTA alone does not promise that."""
    operator = ConvolutionalSynthesis(atoms, (int(y.shape[-2]), int(y.shape[-1])))
    found = fista(operator, SquaredDistance(y), WeightedL1(weight), maps, Driver(iterations=INNER, every=INNER)).value
    return found if _objective(y, atoms, found, weight) <= _objective(y, atoms, maps, weight) else maps


def _improved(y: Tensor, atoms: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return atoms after projected gradient steps on the data term, scaled to norm one together with their maps.

    In the atoms the data term has the Lipschitz constant max_ω Σ_i Σ_k |ĉ_ik|² at most, by Cauchy and Schwarz.
    """
    shape, size = (int(y.shape[-2]), int(y.shape[-1])), atoms.shape[-1]
    spectra = torch.fft.rfft2(maps)
    lipschitz = float(spectra.abs().square().sum(dim=(0, 1)).max())
    if lipschitz == 0.0:
        return atoms, maps
    for _ in range(INNER):
        gap = torch.fft.rfft2(ConvolutionalSynthesis(atoms, shape)(maps) - y).unsqueeze(1)
        slope = torch.fft.irfft2((gap * spectra.conj()).sum(dim=0), s=shape).roll((size // 2, size // 2), (-2, -1))
        atoms = atoms - slope[:, :size, :size] / lipschitz
        atoms = atoms / _norms(atoms).clamp_min(1)
    norms = _norms(atoms).clamp_min(torch.finfo(atoms.dtype).tiny)
    return atoms / norms, maps * norms


def _norms(atoms: Tensor) -> Tensor:
    return atoms.flatten(start_dim=1).norm(dim=1).reshape(-1, 1, 1)


def _revived(y: Tensor, atoms: Tensor, maps: Tensor, source: torch.Generator) -> Tensor:
    """Return the atoms with those that no map uses replaced by badly explained patches."""
    unused = maps.abs().sum(dim=(0, 2, 3)) == 0
    if not bool(unused.any()):
        return atoms
    gap = y - ConvolutionalSynthesis(atoms, (int(y.shape[-2]), int(y.shape[-1])))(maps)
    fresh = _patches(gap, gap.abs(), int(unused.sum()), atoms.shape[-1], source)
    return atoms.masked_scatter(unused.reshape(-1, 1, 1).expand_as(atoms), fresh)


def _patches(images: Tensor, importance: Tensor, count: int, size: int, source: torch.Generator) -> Tensor:
    """Return patches of norm one around pixels drawn in proportion to their squared importance (atom, row, col)."""
    chances = importance.double().square().flatten() + 1e-300
    drawn = torch.multinomial(chances.clamp_max(chances.max()).cpu(), count, replacement=True, generator=source)
    rows, cols = images.shape[-2:]
    patches = []
    for place in drawn.tolist():
        image, pixel = divmod(place, rows * cols)
        row, col = divmod(pixel, cols)
        patch = images[image].roll((size // 2 - row, size // 2 - col), (0, 1))[:size, :size]
        noise = 1e-3 * patch.abs().max().clamp_min(1e-12) * torch.randn(patch.shape, generator=source)
        patches.append(patch + noise.to(patch))
    stack = torch.stack(patches)
    return stack / _norms(stack).clamp_min(torch.finfo(stack.dtype).tiny)
