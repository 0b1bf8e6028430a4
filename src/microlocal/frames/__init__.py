"""Frames of images: shearlets, and what comes after them."""

from microlocal.frames.base import FilterIndex as FilterIndex
from microlocal.frames.base import Frame as Frame
from microlocal.frames.shearlet import ShearletFrame as ShearletFrame
from microlocal.frames.wavelet import WaveletFrame as WaveletFrame
from microlocal.frames.wavelet import WaveletIndex as WaveletIndex
