"""Functionals, one a file: a value, and a proximal map or a gradient."""

from microlocal.functionals.base import Functional as Functional
from microlocal.functionals.base import Proximable as Proximable
from microlocal.functionals.base import Smooth as Smooth
from microlocal.functionals.box import Box as Box
from microlocal.functionals.directional import DirectionalL1 as DirectionalL1
from microlocal.functionals.norms import GroupL1 as GroupL1
from microlocal.functionals.norms import WeightedL1 as WeightedL1
from microlocal.functionals.pairs import PairL1 as PairL1
from microlocal.functionals.separable import SeparableSum as SeparableSum
from microlocal.functionals.squared_distance import SquaredDistance as SquaredDistance
