"""The floor of a frame: the FFTs that it cannot do without, in a loop, with the product between them."""

import torch

VERSION = f"torch {torch.__version__}"


def _filters(arrays):
    shape = arrays["image"].shape
    image = torch.from_numpy(arrays["image"])
    half = (*shape[:-1], shape[-1] // 2 + 1)
    seeded = torch.Generator().manual_seed(0)
    return image, torch.rand((int(arrays["filters"]), *half), generator=seeded, dtype=image.dtype)


def _analysis(arrays):
    image, filters = _filters(arrays)
    axes = tuple(range(-image.ndim, 0))

    def work():
        spectrum = torch.fft.rfftn(image, dim=axes)
        out = torch.empty((len(filters), *image.shape), dtype=image.dtype)
        for k, response in enumerate(filters):
            torch.fft.irfftn(spectrum * response, s=image.shape, dim=axes, out=out[k])
        return out.flatten()[:1].clone()

    return work


def _synthesis(arrays):
    image, filters = _filters(arrays)
    axes = tuple(range(-image.ndim, 0))
    coefficients = image.expand(len(filters), *image.shape).contiguous()

    def work():
        total = torch.fft.rfftn(coefficients[0], dim=axes) * filters[0]
        for k in range(1, len(filters)):
            total.addcmul_(torch.fft.rfftn(coefficients[k], dim=axes), filters[k])
        return torch.fft.irfftn(total, s=image.shape, dim=axes)

    return work


CASES = {
    f"{space}shearlet {what}": case
    for space in ("", "3-D ")
    for what, case in (("analysis", _analysis), ("synthesis", _synthesis))
}
