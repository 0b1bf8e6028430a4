"""ASTRA's CPU projectors (GPL-3; one thread by design)."""

import astra
import numpy as np

VERSION = f"astra {astra.__version__}"


def _algorithm(kind, projector, data, volume):
    config = astra.astra_dict(kind)
    config["ProjectorId"] = projector
    config["ProjectionDataId"] = data
    config["VolumeDataId" if kind == "FP" else "ReconstructionDataId"] = volume
    return astra.algorithm.create(config)


def _case(kind, geometry, projector_type):
    def prepare(arrays):
        image, sinogram = arrays["image"], arrays["sinogram"]
        detectors = sinogram.shape[-1]
        volume_geometry = astra.create_vol_geom(*image.shape)
        projection_geometry = geometry(arrays, detectors)
        projector = astra.create_projector(projector_type, projection_geometry, volume_geometry)
        volume = astra.data2d.create("-vol", volume_geometry, image if kind == "FP" else 0)
        data = astra.data2d.create("-sino", projection_geometry, 0 if kind == "FP" else sinogram)
        algorithm = _algorithm(kind, projector, data, volume)

        def work():
            astra.algorithm.run(algorithm)
            return astra.data2d.get(data if kind == "FP" else volume)

        return work

    return prepare


def _parallel(arrays, detectors):
    return astra.create_proj_geom("parallel", 1.0, detectors, arrays["angles"])


def _fan(arrays, detectors):
    source_axis, source_detector, pitch = (float(v) for v in arrays["distances"])
    return astra.create_proj_geom(
        "fanflat", pitch, detectors, arrays["angles"], source_axis, source_detector - source_axis
    )


CASES = {
    "parallel forward": _case("FP", _parallel, "linear"),
    "parallel adjoint": _case("BP", _parallel, "linear"),
    "fan forward": _case("FP", _fan, "line_fanflat"),
    "fan adjoint": _case("BP", _fan, "line_fanflat"),
    "parallel fbp": _case("FBP", _parallel, "linear"),
}
np.seterr(all="ignore")
