"""Reconstruct images from incomplete measurements, and say what was measured and what was not.

    >>> import microlocal as ml
    >>> scan = ml.read_scan("scan.mat")                      # doctest: +SKIP
    >>> result = ml.reconstruct(scan, method="shearlet")     # doctest: +SKIP
    >>> result.save("out/")                                  # doctest: +SKIP

Names are loaded on first use (PEP 562), so that ``import microlocal`` costs next to nothing: the table below says
which room each public name lives in.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microlocal.core import ConeBeam as ConeBeam
    from microlocal.core import Detector as Detector
    from microlocal.core import FanBeam as FanBeam
    from microlocal.core import FlatPanel as FlatPanel
    from microlocal.core import Geometry as Geometry
    from microlocal.core import Grid as Grid
    from microlocal.core import MicrolocalError as MicrolocalError
    from microlocal.core import ParallelBeam as ParallelBeam
    from microlocal.core import ParallelBeam3D as ParallelBeam3D
    from microlocal.core import Scan as Scan
    from microlocal.core import ViewVectors as ViewVectors
    from microlocal.core import VolumeGrid as VolumeGrid
    from microlocal.core import VolumeScan as VolumeScan
    from microlocal.data import Measurement as Measurement
    from microlocal.data import random_object as random_object
    from microlocal.data import simulate as simulate
    from microlocal.frames import AtomFrame as AtomFrame
    from microlocal.frames import CompactShearletFrame as CompactShearletFrame
    from microlocal.frames import ConvolutionalSynthesis as ConvolutionalSynthesis
    from microlocal.frames import DecimatedShearletFrame as DecimatedShearletFrame
    from microlocal.frames import DecimatedShearletFrame3D as DecimatedShearletFrame3D
    from microlocal.frames import ShearletFrame as ShearletFrame
    from microlocal.frames import ShearletFrame3D as ShearletFrame3D
    from microlocal.frames import UndecimatedWaveletFrame as UndecimatedWaveletFrame
    from microlocal.frames import WaveletFrame as WaveletFrame
    from microlocal.io import open_projections as open_projections
    from microlocal.io import open_stack as open_stack
    from microlocal.io import read_scan as read_scan
    from microlocal.io import write_scan as write_scan
    from microlocal.operators import AsComplex as AsComplex
    from microlocal.operators import BlockMatrix as BlockMatrix
    from microlocal.operators import CircularMeans as CircularMeans
    from microlocal.operators import CoilSensitivities as CoilSensitivities
    from microlocal.operators import Complexified as Complexified
    from microlocal.operators import Concatenate as Concatenate
    from microlocal.operators import Convolution as Convolution
    from microlocal.operators import Downsampling as Downsampling
    from microlocal.operators import FourierSampling as FourierSampling
    from microlocal.operators import Gradient as Gradient
    from microlocal.operators import HermitianToeplitz as HermitianToeplitz
    from microlocal.operators import Identity as Identity
    from microlocal.operators import Kronecker as Kronecker
    from microlocal.operators import Mask as Mask
    from microlocal.operators import MatrixFree as MatrixFree
    from microlocal.operators import MatrixOperator as MatrixOperator
    from microlocal.operators import NonUniformFourier as NonUniformFourier
    from microlocal.operators import OrderedSubsets as OrderedSubsets
    from microlocal.operators import Pad as Pad
    from microlocal.operators import Photoacoustic as Photoacoustic
    from microlocal.operators import RayTransform as RayTransform
    from microlocal.operators import RayTransform3D as RayTransform3D
    from microlocal.operators import Reshape as Reshape
    from microlocal.operators import Restriction as Restriction
    from microlocal.operators import Stack as Stack
    from microlocal.operators import SymmetrisedGradient as SymmetrisedGradient
    from microlocal.operators import Toeplitz as Toeplitz
    from microlocal.operators import ViewSubset as ViewSubset
    from microlocal.operators import from_deepinv as from_deepinv
    from microlocal.operators import to_scipy as to_scipy
    from microlocal.reconstruction import ImageEstimate as ImageEstimate
    from microlocal.reconstruction import Observation as Observation
    from microlocal.reconstruction import Reconstruction as Reconstruction
    from microlocal.reconstruction import Scheduler as Scheduler
    from microlocal.reconstruction import StackRequest as StackRequest
    from microlocal.reconstruction import VolumeRequest as VolumeRequest
    from microlocal.reconstruction import Workers as Workers
    from microlocal.reconstruction import deblur as deblur
    from microlocal.reconstruction import deblur_network as deblur_network
    from microlocal.reconstruction import deblur_plug_and_play as deblur_plug_and_play
    from microlocal.reconstruction import denoise as denoise
    from microlocal.reconstruction import denoise_diffusion as denoise_diffusion
    from microlocal.reconstruction import denoise_network as denoise_network
    from microlocal.reconstruction import denoise_tv as denoise_tv
    from microlocal.reconstruction import fbp_volume as fbp_volume
    from microlocal.reconstruction import fdk as fdk
    from microlocal.reconstruction import filtered_backprojection as filtered_backprojection
    from microlocal.reconstruction import haarpsi as haarpsi
    from microlocal.reconstruction import inpaint as inpaint
    from microlocal.reconstruction import inpaint_network as inpaint_network
    from microlocal.reconstruction import inpaint_plug_and_play as inpaint_plug_and_play
    from microlocal.reconstruction import learn_atoms as learn_atoms
    from microlocal.reconstruction import mcc as mcc
    from microlocal.reconstruction import methods as methods
    from microlocal.reconstruction import psnr as psnr
    from microlocal.reconstruction import read_result as read_result
    from microlocal.reconstruction import reconstruct as reconstruct
    from microlocal.reconstruction import reconstruct_stack as reconstruct_stack
    from microlocal.reconstruction import reconstruct_volume as reconstruct_volume
    from microlocal.reconstruction import relative_error as relative_error
    from microlocal.reconstruction import separate as separate
    from microlocal.reconstruction import ssim as ssim
    from microlocal.reconstruction import upsample as upsample
    from microlocal.report import write_report as write_report
    from microlocal.solvers import as_deepinv as as_deepinv
    from microlocal.wavefront import edges as edges
    from microlocal.wavefront import from_sinogram as from_sinogram
    from microlocal.wavefront import measured_fraction as measured_fraction
    from microlocal.wavefront import measured_range as measured_range
    from microlocal.wavefront import missing_wedge as missing_wedge

    __version__: str

_NAMES = {
    "core": (
        "ConeBeam",
        "Detector",
        "FanBeam",
        "FlatPanel",
        "Geometry",
        "Grid",
        "MicrolocalError",
        "ParallelBeam",
        "ParallelBeam3D",
        "Scan",
        "ViewVectors",
        "VolumeGrid",
        "VolumeScan",
    ),
    "data": ("Measurement", "random_object", "simulate"),
    "frames": (
        "AtomFrame",
        "CompactShearletFrame",
        "ConvolutionalSynthesis",
        "DecimatedShearletFrame",
        "DecimatedShearletFrame3D",
        "ShearletFrame",
        "ShearletFrame3D",
        "UndecimatedWaveletFrame",
        "WaveletFrame",
    ),
    "io": ("open_projections", "open_stack", "read_scan", "write_scan"),
    "operators": (
        "AsComplex",
        "BlockMatrix",
        "CircularMeans",
        "CoilSensitivities",
        "Complexified",
        "Concatenate",
        "Convolution",
        "Downsampling",
        "FourierSampling",
        "Gradient",
        "HermitianToeplitz",
        "Identity",
        "Kronecker",
        "Mask",
        "MatrixFree",
        "MatrixOperator",
        "NonUniformFourier",
        "OrderedSubsets",
        "Pad",
        "Photoacoustic",
        "RayTransform",
        "RayTransform3D",
        "Reshape",
        "Restriction",
        "Stack",
        "SymmetrisedGradient",
        "Toeplitz",
        "ViewSubset",
        "from_deepinv",
        "to_scipy",
    ),
    "reconstruction": (
        "ImageEstimate",
        "Observation",
        "Reconstruction",
        "Scheduler",
        "StackRequest",
        "VolumeRequest",
        "Workers",
        "deblur",
        "deblur_network",
        "inpaint_network",
        "deblur_plug_and_play",
        "denoise",
        "denoise_diffusion",
        "denoise_network",
        "denoise_tv",
        "fbp_volume",
        "fdk",
        "filtered_backprojection",
        "haarpsi",
        "inpaint",
        "inpaint_plug_and_play",
        "learn_atoms",
        "mcc",
        "methods",
        "psnr",
        "read_result",
        "reconstruct",
        "reconstruct_stack",
        "reconstruct_volume",
        "relative_error",
        "separate",
        "ssim",
        "upsample",
    ),
    "report": ("write_report",),
    "solvers": ("as_deepinv",),
    "wavefront": ("edges", "from_sinogram", "measured_fraction", "measured_range", "missing_wedge"),
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("microlocal")
    elif name in _ROOM_OF:
        # All rooms at once, since members find each other through the registry: a result saves itself by every writer.
        import_module("microlocal.members").load_all()
        value = getattr(import_module(f"microlocal.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'microlocal' has no attribute {name!r}; it has {', '.join(sorted(_ROOM_OF))}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_ROOM_OF, "__version__", *(name for name in globals() if name.startswith("__"))})
