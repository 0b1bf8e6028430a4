"""Networks, each of which says what it was trained on and what it can promise."""

from microlocal.networks.unet import PyramidUNet as PyramidUNet
