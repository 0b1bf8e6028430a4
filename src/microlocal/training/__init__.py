"""Training as a user would: a recipe in, weights with a card out; tasks register themselves here."""

from microlocal.training.deblurring import Deblurring as Deblurring
from microlocal.training.denoising import Denoising as Denoising
from microlocal.training.diffusion_problem import DiffusionProblem as DiffusionProblem
from microlocal.training.directions import Directions as Directions
from microlocal.training.folder import ImageFolder as ImageFolder
from microlocal.training.inpainting import Inpainting as Inpainting
from microlocal.training.invisible import LearnTheInvisible as LearnTheInvisible
from microlocal.training.log import Row as Row
from microlocal.training.log import read_log as read_log
from microlocal.training.loop import Trained as Trained
from microlocal.training.loop import has_checkpoint as has_checkpoint
from microlocal.training.loop import train as train
from microlocal.training.null_space_network import NullSpaceTask as NullSpaceTask
from microlocal.training.postprocessing import PostProcessing as PostProcessing
from microlocal.training.primal_dual import PrimalDual as PrimalDual
from microlocal.training.recipe import Recipe as Recipe
from microlocal.training.recipe import Table as Table
from microlocal.training.recipe import checked as checked
from microlocal.training.recipe import read_recipe as read_recipe
from microlocal.training.recipe import recipe_from as recipe_from
from microlocal.training.task import Task as Task
from microlocal.training.wavelet_residual import WaveletArtefacts as WaveletArtefacts
