"""Singularities: the canonical relation of a geometry, what it makes visible, edges and where they come from."""

from microlocal.wavefront.canonical import DataSingularity as DataSingularity
from microlocal.wavefront.canonical import ImageSingularity as ImageSingularity
from microlocal.wavefront.canonical import data_singularity as data_singularity
from microlocal.wavefront.canonical import image_singularity as image_singularity
from microlocal.wavefront.canonical import traced_curve as traced_curve
from microlocal.wavefront.coefficients import energy_split as energy_split
from microlocal.wavefront.coefficients import visible_mask as visible_mask
from microlocal.wavefront.coefficients import visible_share as visible_share
from microlocal.wavefront.edges import EdgeMap as EdgeMap
from microlocal.wavefront.edges import find_edges as find_edges
from microlocal.wavefront.edges import label_edges as label_edges
from microlocal.wavefront.fields import Field as Field
from microlocal.wavefront.from_sinogram import from_sinogram as from_sinogram
from microlocal.wavefront.models import edges as edges
from microlocal.wavefront.models import labelled as labelled
from microlocal.wavefront.passing import directions_at as directions_at
from microlocal.wavefront.provenance import pixel_provenance as pixel_provenance
from microlocal.wavefront.segments import is_measured as is_measured
from microlocal.wavefront.singularities import EDGE as EDGE
from microlocal.wavefront.singularities import RIDGE as RIDGE
from microlocal.wavefront.singularities import Singularities as Singularities
from microlocal.wavefront.visibility import measured_directions as measured_directions
from microlocal.wavefront.visibility import measured_fraction as measured_fraction
from microlocal.wavefront.visibility import measured_range as measured_range
from microlocal.wavefront.visibility import missing_wedge as missing_wedge
from microlocal.wavefront.visibility import rose as rose
