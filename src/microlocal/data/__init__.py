"""Data that comes with the package: phantoms with exact sinograms, and a real limited-angle scan."""

from microlocal.data.phantoms import Ellipse as Ellipse
from microlocal.data.phantoms import disc_with_holes as disc_with_holes
from microlocal.data.phantoms import shepp_logan as shepp_logan
from microlocal.data.phantoms import smooth_bump as smooth_bump
from microlocal.data.phantoms3d import Ellipsoid as Ellipsoid
from microlocal.data.shipped import needle as needle
