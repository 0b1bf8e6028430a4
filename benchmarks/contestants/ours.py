"""microlocal, with its defaults."""

import numpy as np
import torch

import microlocal as ml
from microlocal.core import ConeBeam, Detector, FanBeam, FlatPanel, Grid, ParallelBeam, Scan, VolumeGrid
from microlocal.frames import ShearletFrame, ShearletFrame3D, WaveletFrame
from microlocal.operators import RayTransform, RayTransform3D
from microlocal.reconstruction.fbp import filtered_backprojection

VERSION = "microlocal"


def parallel(arrays):
    geometry = ParallelBeam(tuple(arrays["angles"]), Detector(arrays["sinogram"].shape[-1], 1.0))
    return geometry, Grid(arrays["image"].shape[-2:], 1.0)


def fan(arrays):
    source_axis, source_detector, pitch = (float(v) for v in arrays["distances"])
    detector = Detector(arrays["sinogram"].shape[-1], pitch)
    geometry = FanBeam(tuple(arrays["angles"]), detector, source_axis=source_axis, source_detector=source_detector)
    return geometry, Grid(arrays["image"].shape[-2:], 1.0)


def forward(setting, method="auto"):
    def prepare(arrays):
        operator, image = RayTransform(*setting(arrays), method=method), torch.from_numpy(arrays["image"])
        return lambda: operator(image).numpy()

    return prepare


def adjoint(setting, method="auto"):
    def prepare(arrays):
        operator, data = RayTransform(*setting(arrays), method=method), torch.from_numpy(arrays["sinogram"])
        return lambda: operator.adjoint(data).numpy()

    return prepare


def cone(arrays):
    source_axis, source_detector, pitch = (float(v) for v in arrays["distances"])
    panel = FlatPanel(*arrays["sinogram"].shape[-2:], (pitch, pitch))
    geometry = ConeBeam(tuple(arrays["angles"]), panel, source_axis=source_axis, source_detector=source_detector)
    return geometry, VolumeGrid(arrays["image"].shape[-3:], 1.0)


def _cone(call):
    def prepare(arrays):
        operator = RayTransform3D(*cone(arrays))
        source = torch.from_numpy(arrays["image" if call == "forward" else "sinogram"])
        return lambda: getattr(operator, call)(source).numpy()

    return prepare


def _fdk(arrays):
    geometry, grid = cone(arrays)
    data = torch.from_numpy(arrays["sinogram"])
    return lambda: ml.fdk(data, geometry, grid).numpy()


def _fbp(setting):
    def prepare(arrays):
        geometry, grid = setting(arrays)
        data = torch.from_numpy(arrays["sinogram"])
        return lambda: filtered_backprojection(data, geometry, grid).numpy()

    return prepare


def _reconstruct(arrays):
    geometry, grid = parallel(arrays)
    scan = Scan(torch.from_numpy(arrays["sinogram"]), geometry, grid)

    def work():
        return ml.reconstruct(scan, "fbp").image.numpy()

    return work


def analysis(frame):
    def prepare(arrays):
        image = torch.from_numpy(arrays["image"])
        system = frame(image.shape)

        def work():
            return system(image).flatten()[:1].clone().numpy()  # keeps one number, frees the rest

        return work

    return prepare


def _wavelets_of(shape):
    return WaveletFrame(shape, "db4")


def _wavelet_analysis(arrays):
    image = torch.from_numpy(arrays["image"])
    frame = _wavelets_of(image.shape)
    return lambda: frame(image).numpy()


def synthesis(frame):
    def prepare(arrays):
        image = torch.from_numpy(arrays["image"])
        system = frame(image.shape)
        coefficients = system(image)
        return lambda: system.adjoint(coefficients).numpy()

    return prepare


CASES = {
    "parallel forward": forward(parallel),
    "parallel adjoint": adjoint(parallel),
    "fan forward": forward(fan),
    "fan adjoint": adjoint(fan),
    "parallel fbp": _fbp(parallel),
    "fan fbp": _fbp(fan),
    "reconstruct fbp": _reconstruct,
    "cone forward": _cone("forward"),
    "cone adjoint": _cone("adjoint"),
    "cone fdk": _fdk,
    "shearlet analysis": analysis(ShearletFrame),
    "shearlet synthesis": synthesis(ShearletFrame),
    "wavelet analysis": _wavelet_analysis,
    "wavelet synthesis": synthesis(_wavelets_of),
    "3-D shearlet analysis": analysis(ShearletFrame3D),
    "3-D shearlet synthesis": synthesis(ShearletFrame3D),
}
np.seterr(all="ignore")
