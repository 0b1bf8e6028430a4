"""Frames of images: shearlets, and what comes after them."""

from microlocal.frames.atoms import AtomFrame as AtomFrame
from microlocal.frames.atoms import ConvolutionalSynthesis as ConvolutionalSynthesis
from microlocal.frames.base import FilterIndex as FilterIndex
from microlocal.frames.base import Frame as Frame
from microlocal.frames.compact_shearlet import CompactShearletFrame as CompactShearletFrame
from microlocal.frames.complex_shearlet import ComplexShearlets as ComplexShearlets
from microlocal.frames.complex_shearlet import ShearletSystem as ShearletSystem
from microlocal.frames.decimated import DecimatedShearletFrame as DecimatedShearletFrame
from microlocal.frames.decimated import DecimatedShearletFrame3D as DecimatedShearletFrame3D
from microlocal.frames.dyadic import DyadicShearletFrame as DyadicShearletFrame
from microlocal.frames.shearlet import ShearletFrame as ShearletFrame
from microlocal.frames.shearlet3d import FilterIndex3D as FilterIndex3D
from microlocal.frames.shearlet3d import ShearletFrame3D as ShearletFrame3D
from microlocal.frames.undecimated_wavelet import UndecimatedWaveletFrame as UndecimatedWaveletFrame
from microlocal.frames.wavelet import WaveletFrame as WaveletFrame
from microlocal.frames.wavelet import WaveletIndex as WaveletIndex
