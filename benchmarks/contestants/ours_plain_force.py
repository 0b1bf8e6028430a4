"""The same as one writes it in torch: a convolution, the activation, the transposed convolution."""

import torch

from benchmarks.contestants.ours_fused_force import ahead, back
from microlocal.networks.fused_force import plain_force

VERSION = f"torch {torch.__version__}"
CASES = {"force": ahead(plain_force), "force, with slopes": back(plain_force)}
