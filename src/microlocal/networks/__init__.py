"""Networks, each of which says what it was trained on and what it can promise."""

from microlocal.networks.adaptive_shrinkage import AdaptiveShrinkage as AdaptiveShrinkage
from microlocal.networks.bands import Bands as Bands
from microlocal.networks.deblurring_flow import DeblurringFlow as DeblurringFlow
from microlocal.networks.denoisers import load_denoiser as load_denoiser
from microlocal.networks.diffnet import DiffNet as DiffNet
from microlocal.networks.diffusion_network import DiffusionNetwork as DiffusionNetwork
from microlocal.networks.inpainting_flow import InpaintingFlow as InpaintingFlow
from microlocal.networks.learned_diffusivity import LearnedDiffusivity as LearnedDiffusivity
from microlocal.networks.mixture import Mixture as Mixture
from microlocal.networks.nonexpansive import Nonexpansive as Nonexpansive
from microlocal.networks.reaction_diffusion import ReactionDiffusion as ReactionDiffusion
from microlocal.networks.signal_diffusion import SignalDiffusion as SignalDiffusion
from microlocal.networks.stable import DecayingNetwork as DecayingNetwork
from microlocal.networks.stable import DiffeomorphicFlow as DiffeomorphicFlow
from microlocal.networks.stable import HamiltonianNetwork as HamiltonianNetwork
from microlocal.networks.stable import InvertibleNetwork as InvertibleNetwork
from microlocal.networks.stable import ParabolicNetwork as ParabolicNetwork
from microlocal.networks.stable import ReversibleNetwork as ReversibleNetwork
from microlocal.networks.stable import SecondOrderNetwork as SecondOrderNetwork
from microlocal.networks.stable import SymmetricNetwork as SymmetricNetwork
from microlocal.networks.stable import register_images as register_images
from microlocal.networks.stopped_flow import StoppedFlow as StoppedFlow
from microlocal.networks.symmetric_block import SymmetricBlock as SymmetricBlock
from microlocal.networks.unet import PyramidUNet as PyramidUNet
