"""Families of random objects whose densities, line integrals and wavefront sets are known."""

from microlocal.data.objects.apart import overlapping as overlapping
from microlocal.data.objects.apart import parallelograms as parallelograms
from microlocal.data.objects.apart import splines as splines
from microlocal.data.objects.base import Boundary as Boundary
from microlocal.data.objects.base import Object as Object
from microlocal.data.objects.base import random_object as random_object
from microlocal.data.objects.ellipses import ellipses as ellipses
from microlocal.data.objects.general import general as general
from microlocal.data.objects.holes import disc_with_holes as disc_with_holes
from microlocal.data.objects.needle import needle as needle
