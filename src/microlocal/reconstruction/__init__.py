"""The methods, one recipe a file, and the road from a scan to a reconstruction with its provenance."""

from microlocal.reconstruction.cgls import cgls as cgls
from microlocal.reconstruction.directional_tv import directional_tv as directional_tv
from microlocal.reconstruction.fbp import fbp as fbp
from microlocal.reconstruction.method import Estimate as Estimate
from microlocal.reconstruction.method import Settings as Settings
from microlocal.reconstruction.result import Reconstruction as Reconstruction
from microlocal.reconstruction.run import methods as methods
from microlocal.reconstruction.run import reconstruct as reconstruct
from microlocal.reconstruction.shearlet import shearlet as shearlet
from microlocal.reconstruction.tv import tv as tv
from microlocal.reconstruction.writers import read_reconstruction as read_reconstruction
