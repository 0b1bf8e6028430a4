"""What a user brings may want a gradient, or be a view that torch has yet to negate: the values count, nothing else."""

import numpy as np
import pytest
import torch

from microlocal.calibration.center import find_axis
from microlocal.calibration.outline import air_around
from microlocal.core import Detector, Grid, ParallelBeam, Scan
from microlocal.core.arrays import to_numpy
from microlocal.frames import ShearletFrame
from microlocal.functionals import DirectionalL1, GroupL1, WeightedL1
from microlocal.io.jsonable import jsonable
from microlocal.io.own import write_scan
from microlocal.io.tensors import read_tensors, write_tensors
from microlocal.operators import RayTransform
from microlocal.operators.toeplitz import fourier_normal
from microlocal.reconstruction.object_model import first_model
from microlocal.reconstruction.pyramid import resample
from microlocal.reconstruction.quality import mcc
from microlocal.solvers.checkpoint import owner_of
from microlocal.wavefront.edges import find_edges
from microlocal.wavefront.energies import image_energies
from microlocal.wavefront.models import edges

GRID = Grid((20, 24), 1.0)
BEAM = ParallelBeam(tuple(np.radians(np.arange(0.0, 180.0, 4.0))), Detector(41, 1.0))
RAY = RayTransform(BEAM, GRID, "fourier")
FRAME = ShearletFrame(GRID.shape)


def _disc():
    y, x = np.mgrid[:20, :24]
    return torch.from_numpy(((x - 11) ** 2 + (y - 9) ** 2 < 40) * 1.0 + 0.01 * np.cos(x * y))


def _lazy(x):
    """The values of ``x`` as a view that torch has yet to negate, with a gradient wanted."""
    return torch.complex(torch.zeros_like(x), -x).conj().imag.requires_grad_()


def _written(data, folder):
    write_scan(Scan(data, BEAM, GRID), folder / "scan.npz")
    return dict(np.load(folder / "scan.npz"))["data"]


def _stored(image, folder):
    write_tensors({"image": image}, folder / "image.safetensors")
    return read_tensors(folder / "image.safetensors", "test", "Write it again.")[0]["image"]


IMAGES = {
    "to_numpy": lambda x, _: to_numpy(x),
    "find_edges": lambda x, _: find_edges(x).strength,
    "image_energies": lambda x, _: image_energies(x, FRAME, torch.ones(len(FRAME.filters), 1, 1)).measured,
    "image_energies, shares": lambda x, _: (
        image_energies(_disc(), FRAME, x.sigmoid().expand(len(FRAME.filters), *x.shape)).measured
    ),
    "resample": lambda x, _: resample(x, GRID, Grid((9, 8), 2.0)),
    "mcc": lambda x, _: mcc(x, _disc()),
    "jsonable": lambda x, _: jsonable(x),
    "owner_of": lambda x, _: owner_of(x),
    "write_tensors": _stored,
    "weights of views": lambda x, _: fourier_normal(RAY.slices, x.reshape(-1)[:45].abs()).kernel,
    "l1": lambda x, _: WeightedL1(0.5).dual_step(torch.zeros(1, 20, 24).double(), -(-x.detach())[None], 0.3),
    "group l1": lambda x, _: GroupL1(0.5).dual_step(torch.stack((x, x)).detach(), torch.ones(2, 20, 24).double(), 0.3),
    "directional l1": lambda x, _: DirectionalL1(0.5, 0.8, 0.3).dual_step(
        torch.stack((x, x)).detach(), torch.ones(2, 20, 24).double(), 0.3
    ),
    "edges": lambda x, _: edges(x, model="shearlet").row,
}

SINOGRAMS = {
    "write_scan": _written,
    "find_axis": lambda y, _: find_axis(Scan(y, BEAM, GRID)).offset,
    "air_around": lambda y, _: air_around(Scan(y, BEAM, GRID), GRID),
    "first_model": lambda y, _: first_model(y, BEAM, GRID).outline is None,
}


def _same(got, wanted):
    if isinstance(wanted, str):
        return got == wanted
    arrays = [to_numpy(v) if isinstance(v, torch.Tensor) else np.asarray(v) for v in (got, wanted)]
    return np.allclose(arrays[0], arrays[1], rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("call", IMAGES.values(), ids=IMAGES)
def test_images(call, tmp_path):
    assert _same(call(_lazy(_disc()), tmp_path), call(_disc(), tmp_path))


@pytest.mark.parametrize("call", SINOGRAMS.values(), ids=SINOGRAMS)
def test_sinograms(call, tmp_path):
    data = RAY(_disc())
    assert _same(call(_lazy(data), tmp_path), call(data, tmp_path))
