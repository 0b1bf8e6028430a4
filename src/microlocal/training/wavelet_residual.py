"""Train the U-Net that finds the artefacts among the wavelet coefficients of the filtered backprojection."""

from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.wavelet_residual import WaveletResidual
from microlocal.reconstruction.wavelet_residual import TASK
from microlocal.training.neighbours import ImageTask
from microlocal.training.task import Batch
from microlocal.training.tiny import SCANS


@register("task", TASK, samples=lambda: [WaveletArtefacts(SCANS, {"widths": [2, 3]})], reference="gu2017")
class WaveletArtefacts(ImageTask):
    """Find the artefacts of the filtered backprojection: by Parseval the error of their coefficients is the image's."""

    build = WaveletResidual

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        found: Tensor = batch["fbp"] - network(batch["fbp"])
        return found
