"""Train the U-Net that follows filtered backprojection."""

from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.image_unet import ImageUNet
from microlocal.reconstruction.postprocessing import TASK
from microlocal.training.neighbours import ImageTask
from microlocal.training.task import Batch
from microlocal.training.tiny import SCANS


@register("task", TASK, samples=lambda: [PostProcessing(SCANS, {"widths": [2, 3]})], reference="jin2017")
class PostProcessing(ImageTask):
    """Take the artefacts off the filtered backprojection, as one image from another."""

    build = ImageUNet

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        found: Tensor = batch["fbp"] + network(batch["fbp"])
        return found
