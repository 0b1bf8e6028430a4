"""Problems of plain images solved with frames: denoising, inpainting, separation, deblurring, super-resolution."""

from microlocal.calibration.image_noise import image_noise as image_noise
from microlocal.reconstruction.images.deblur import deblur as deblur
from microlocal.reconstruction.images.deblur import upsample as upsample
from microlocal.reconstruction.images.deblur_network import deblur_network as deblur_network
from microlocal.reconstruction.images.denoise import denoise as denoise
from microlocal.reconstruction.images.denoise_diffusion import denoise_diffusion as denoise_diffusion
from microlocal.reconstruction.images.denoise_network import denoise_network as denoise_network
from microlocal.reconstruction.images.denoise_tv import denoise_tv as denoise_tv
from microlocal.reconstruction.images.estimate import ImageEstimate as ImageEstimate
from microlocal.reconstruction.images.inpaint import inpaint as inpaint
from microlocal.reconstruction.images.inpaint_network import inpaint_network as inpaint_network
from microlocal.reconstruction.images.learn_atoms import LearnedAtoms as LearnedAtoms
from microlocal.reconstruction.images.learn_atoms import learn_atoms as learn_atoms
from microlocal.reconstruction.images.plug_and_play import deblur_plug_and_play as deblur_plug_and_play
from microlocal.reconstruction.images.plug_and_play import inpaint_plug_and_play as inpaint_plug_and_play
from microlocal.reconstruction.images.separate import separate as separate
