"""The methods, one recipe a file, and the road from a scan to a reconstruction with its provenance."""

from microlocal.reconstruction.cgls import cgls as cgls
from microlocal.reconstruction.cluster import Scheduler as Scheduler
from microlocal.reconstruction.directional_tv import directional_tv as directional_tv
from microlocal.reconstruction.fbp import fbp as fbp
from microlocal.reconstruction.fdk import fbp_volume as fbp_volume
from microlocal.reconstruction.fdk import fdk as fdk
from microlocal.reconstruction.method import Estimate as Estimate
from microlocal.reconstruction.method import Settings as Settings
from microlocal.reconstruction.pools import Workers as Workers
from microlocal.reconstruction.result import Reconstruction as Reconstruction
from microlocal.reconstruction.run import methods as methods
from microlocal.reconstruction.run import reconstruct as reconstruct
from microlocal.reconstruction.shearlet import shearlet as shearlet
from microlocal.reconstruction.stack import reconstruct_stack as reconstruct_stack
from microlocal.reconstruction.stack_plan import StackRequest as StackRequest
from microlocal.reconstruction.stack_state import StackState as StackState
from microlocal.reconstruction.stack_state import has_begun as has_begun
from microlocal.reconstruction.stack_state import stack_state as stack_state
from microlocal.reconstruction.stack_state import write_state as write_state
from microlocal.reconstruction.tv import tv as tv
from microlocal.reconstruction.writers import read_reconstruction as read_reconstruction
