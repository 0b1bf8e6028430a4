"""Linear operators, one a file."""

from microlocal.operators.base import LinearOperator as LinearOperator
from microlocal.operators.gradient import Gradient as Gradient
from microlocal.operators.identity import Identity as Identity
from microlocal.operators.norms import norm_estimate as norm_estimate
from microlocal.operators.ray_transform import RayTransform as RayTransform
