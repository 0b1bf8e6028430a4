"""The rooms of the library, imported when a verb first touches them: ``microlocal --help`` never waits for torch.

    from microlocal.cli import lazy
    scan = lazy.io.read_scan(path)

This is the one place where the command line defers imports; type checkers see ordinary modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microlocal import core as core
    from microlocal import data as data
    from microlocal import dictionary as dictionary
    from microlocal import io as io
    from microlocal import members as members
    from microlocal import reconstruction as reconstruction
    from microlocal import report as report
    from microlocal import training as training
    from microlocal import wavefront as wavefront
    from microlocal.calibration import axis_of_volumes as axis_of_volumes
    from microlocal.calibration import center as center
    from microlocal.calibration import outline as outline
    from microlocal.cli import health as health
    from microlocal.cli import picture as picture
    from microlocal.core import interruption as interruption
    from microlocal.core import provenance as provenance
    from microlocal.core import registry as registry
    from microlocal.dictionary import latex as latex
    from microlocal.io import angle_files as angle_files
    from microlocal.io import description as description
    from microlocal.io import gaps as gaps
    from microlocal.io import point_files as point_files
    from microlocal.io import projection_formats as projection_formats
    from microlocal.io import readings as readings
    from microlocal.networks import catalogue as catalogue
    from microlocal.networks import certify as certify
    from microlocal.networks import weights as weights
    from microlocal.reconstruction import facts as facts
    from microlocal.reconstruction import joining as joining
    from microlocal.reconstruction import volume_overview as volume_overview
    from microlocal.reconstruction.images import blur as blur
    from microlocal.reconstruction.images import colours as colours
    from microlocal.reconstruction.images import models as models
    from microlocal.reconstruction.images import restorers as restorers
    from microlocal.report import denoised as denoised
    from microlocal.report import dictionary_picture as dictionary_picture
    from microlocal.report import edge_picture as edge_picture
    from microlocal.report import picture_jobs as picture_jobs
    from microlocal.report import rose as rose
    from microlocal.report import volume_picture as volume_picture
    from microlocal.wavefront import lengths as lengths

_ROOMS = ("core", "data", "dictionary", "io", "members", "reconstruction", "report", "training", "wavefront")
_MODULES = {
    "center": "microlocal.calibration.center",
    "axis_of_volumes": "microlocal.calibration.axis_of_volumes",
    "angle_files": "microlocal.io.angle_files",
    "description": "microlocal.io.description",
    "projection_formats": "microlocal.io.projection_formats",
    "readings": "microlocal.io.readings",
    "volume_overview": "microlocal.reconstruction.volume_overview",
    "volume_picture": "microlocal.report.volume_picture",
    "outline": "microlocal.calibration.outline",
    "interruption": "microlocal.core.interruption",
    "provenance": "microlocal.core.provenance",
    "health": "microlocal.cli.health",
    "picture": "microlocal.cli.picture",
    "registry": "microlocal.core.registry",
    "latex": "microlocal.dictionary.latex",
    "gaps": "microlocal.io.gaps",
    "point_files": "microlocal.io.point_files",
    "catalogue": "microlocal.networks.catalogue",
    "certify": "microlocal.networks.certify",
    "weights": "microlocal.networks.weights",
    "blur": "microlocal.reconstruction.images.blur",
    "colours": "microlocal.reconstruction.images.colours",
    "models": "microlocal.reconstruction.images.models",
    "restorers": "microlocal.reconstruction.images.restorers",
    "denoised": "microlocal.report.denoised",
    "edge_picture": "microlocal.report.edge_picture",
    "picture_jobs": "microlocal.report.picture_jobs",
    "dictionary_picture": "microlocal.report.dictionary_picture",
    "rose": "microlocal.report.rose",
    "lengths": "microlocal.wavefront.lengths",
    "facts": "microlocal.reconstruction.facts",
    "joining": "microlocal.reconstruction.joining",
} | {room: f"microlocal.{room}" for room in _ROOMS}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"microlocal.cli.lazy has no module {name!r}; it has {', '.join(sorted(_MODULES))}")
    return import_module(_MODULES[name])
