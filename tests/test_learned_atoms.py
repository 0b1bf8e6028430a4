"""Learning atoms: planted ones are found again, the objective never rises, runs repeat, the atoms make a frame."""

import pytest
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.frames.atoms import AtomFrame, ConvolutionalSynthesis
from microlocal.reconstruction.images.learn_atoms import learn_atoms

SIZE = 48


def planted():
    """Return three different atoms of norm one, 5 x 5."""
    r, c = torch.meshgrid(torch.arange(5.0) - 2, torch.arange(5.0) - 2, indexing="ij")
    window = torch.exp(-(r**2 + c**2) / 4)
    atoms = torch.stack([window * torch.cos(2 * r), window * torch.sin(1.5 * (r + c)), window * torch.sign(c - 0.1)])
    return atoms / atoms.flatten(start_dim=1).norm(dim=1).reshape(-1, 1, 1)


def images(atoms, seed):
    source = generator(seed)
    maps = torch.randn(3, 3, SIZE, SIZE, generator=source)
    maps = maps * (torch.rand(maps.shape, generator=source) < 0.006)
    return ConvolutionalSynthesis(atoms, (SIZE, SIZE))(maps)


def likeness(found, planted_atom):
    """Return the largest |correlation| over all shifts of the best learned atom."""
    wide = torch.zeros(16, 16)
    wide[:5, :5] = planted_atom
    return float(ConvolutionalSynthesis(found, (16, 16)).adjoint(wide).abs().max())


@pytest.fixture(scope="module")
def learned():
    return learn_atoms(images(planted(), 0), 3, 7, weight=0.05, rounds=100, seed=1)


def test_planted_atoms_are_found_up_to_shift_and_sign(learned):
    assert min(likeness(learned.atoms, atom) for atom in planted()) >= 0.97
    stranger = torch.randn(5, 5, generator=generator(3))
    assert likeness(learned.atoms, stranger / stranger.norm()) < 0.9


def test_the_objective_never_rises_and_atoms_have_norm_one(learned):
    steps = torch.tensor(learned.objective)
    assert len(steps) == 100
    assert bool((steps[1:] <= steps[:-1] * (1 + 1e-6)).all())
    assert float(steps[-1]) < 0.7 * float(steps[0])
    assert torch.allclose(learned.atoms.flatten(start_dim=1).norm(dim=1), torch.ones(3), atol=1e-5)


def test_activations_of_new_images_are_sparse_and_explain_them(learned):
    new = images(planted(), 7)
    maps = learned.activations(new)
    gap = float((learned.synthesis((SIZE, SIZE))(maps) - new).norm() / new.norm())
    assert gap < 0.1  # λ shrinks every activation a little
    assert float((maps.abs() > 1e-3).float().mean()) < 0.05


def test_the_seed_decides():
    data = images(planted(), 0)[:1]
    first, again, other = (learn_atoms(data, 2, 5, rounds=2, seed=seed).atoms for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_the_atoms_complete_to_a_parseval_frame(learned):
    frame = learned.frame((33, 40))
    assert isinstance(frame, AtomFrame)
    assert frame.bounds() == pytest.approx((1.0, 1.0), abs=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ShapeError, match="2 <= size"):
        learn_atoms(torch.rand(8, 8), 2, 9)
    with pytest.raises(InputError, match="count >= 1"):
        learn_atoms(torch.rand(8, 8), 0, 3)
    with pytest.raises(ShapeError, match="smaller atoms"):
        AtomFrame((4, 4), torch.ones(1, 5, 5))
