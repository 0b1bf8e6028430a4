"""Certificates: claims with their bounds, hypotheses and falsifiers."""

from microlocal.certificates.base import Certificate as Certificate
from microlocal.certificates.base import Hypothesis as Hypothesis
from microlocal.certificates.base import Kind as Kind
from microlocal.certificates.base import certificate_from_dict as certificate_from_dict
