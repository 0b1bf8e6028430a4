"""Data that comes with the package: phantoms and random objects with exact sinograms, and a real limited-angle scan."""

from microlocal.data.measurement import Measurement as Measurement
from microlocal.data.measurement import Simulated as Simulated
from microlocal.data.measurement import simulate as simulate
from microlocal.data.objects import Boundary as Boundary
from microlocal.data.objects import Object as Object
from microlocal.data.objects import random_object as random_object
from microlocal.data.phantoms import Ellipse as Ellipse
from microlocal.data.phantoms import disc_with_holes as disc_with_holes
from microlocal.data.phantoms import shepp_logan as shepp_logan
from microlocal.data.phantoms import smooth_bump as smooth_bump
from microlocal.data.phantoms3d import Ellipsoid as Ellipsoid
from microlocal.data.polygon import Polygon as Polygon
from microlocal.data.shipped import needle as needle
