"""DeepInverse's tomography physics; its adjoint by automatic differentiation, the exact one."""

import numpy as np
import torch

# The torchvision on PyPI is a CUDA build; declaring the operators that it registers lets it import beside CPU torch.
_torchvision = torch.library.Library("torchvision", "DEF")
_torchvision.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_torchvision.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import deepinv  # noqa: E402

VERSION = f"deepinv {deepinv.__version__}"


def _physics(arrays):
    return deepinv.physics.Tomography(
        angles=torch.tensor(np.degrees(arrays["angles"]), dtype=torch.float32),
        img_width=arrays["image"].shape[0],
        circle=True,
        adjoint_via_backprop=True,
        parallel_computation=True,
        normalize=False,
        device="cpu",
    )


def _forward(arrays):
    physics, image = _physics(arrays), torch.from_numpy(arrays["image"])[None, None]
    return lambda: physics.A(image).numpy()[0, 0].T


def _adjoint(arrays):
    physics = _physics(arrays)
    data = torch.from_numpy(np.ascontiguousarray(arrays["sinogram"].T))[None, None]
    return lambda: physics.A_adjoint(data).detach().numpy()[0, 0]


CASES = {"parallel forward": _forward, "parallel adjoint": _adjoint}
