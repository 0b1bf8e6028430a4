"""Errors, checks, the registry, geometry and scans: what every room stands on. Imports nothing of ours."""

from microlocal.core.errors import GeometryError as GeometryError
from microlocal.core.errors import InputError as InputError
from microlocal.core.errors import MicrolocalError as MicrolocalError
from microlocal.core.errors import OutputError as OutputError
from microlocal.core.errors import ScanFileError as ScanFileError
from microlocal.core.errors import ShapeError as ShapeError
from microlocal.core.errors import UnknownNameError as UnknownNameError
from microlocal.core.geometry import Detector as Detector
from microlocal.core.geometry import FanBeam as FanBeam
from microlocal.core.geometry import Geometry as Geometry
from microlocal.core.geometry import ParallelBeam as ParallelBeam
from microlocal.core.geometry3d import ConeBeam as ConeBeam
from microlocal.core.geometry3d import FlatPanel as FlatPanel
from microlocal.core.geometry3d import Geometry3D as Geometry3D
from microlocal.core.geometry3d import ParallelBeam3D as ParallelBeam3D
from microlocal.core.grid import Grid as Grid
from microlocal.core.scan import Scan as Scan
from microlocal.core.scan import Source as Source
from microlocal.core.view_vectors import ViewVectors as ViewVectors
from microlocal.core.volume import VolumeGrid as VolumeGrid
from microlocal.core.volume_scan import VolumeScan as VolumeScan
