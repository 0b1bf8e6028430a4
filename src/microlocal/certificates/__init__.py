"""Certificates: claims with their bounds, hypotheses and falsifiers."""

from microlocal.certificates.base import Certificate as Certificate
from microlocal.certificates.base import Hypothesis as Hypothesis
from microlocal.certificates.base import Kind as Kind
from microlocal.certificates.base import certificate_from_dict as certificate_from_dict
from microlocal.certificates.consistency import certify_consistency as certify_consistency
from microlocal.certificates.data import certify_residual as certify_residual
from microlocal.certificates.filters import filter_norm_bound as filter_norm_bound
from microlocal.certificates.fixed_point import certify_fixed_point as certify_fixed_point
from microlocal.certificates.frames import certify_parseval as certify_parseval
from microlocal.certificates.guarantee import Guarantee as Guarantee
from microlocal.certificates.least_change import certify_least_change as certify_least_change
from microlocal.certificates.maps import certify_map as certify_map
from microlocal.certificates.operators import certify_adjoint as certify_adjoint
from microlocal.certificates.operators import certify_norm as certify_norm
