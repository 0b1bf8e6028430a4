"""The gradient Kᵀ Φ(K u) of a learned energy by our fused kernel, and back through it by all that is learned."""

import torch

from microlocal.networks.fused_force import bank_force

VERSION = "microlocal"
ROW = "soft"
LEARNED = ("filters", "shares", "contrasts")


def ahead(force):
    def prepare(arrays):
        tensors = [torch.from_numpy(arrays[name]) for name in ("images", *LEARNED)]

        def work():
            with torch.no_grad():
                return force(*tensors, 1, ROW).numpy()

        return work

    return prepare


def back(force):
    def prepare(arrays):
        tensors = [torch.from_numpy(arrays[name]).requires_grad_() for name in ("images", *LEARNED)]
        pull = torch.from_numpy(arrays["pull"])

        def work():
            slopes = torch.autograd.grad(force(*tensors, 1, ROW), tensors, pull)
            return torch.cat([slope.flatten() / slope.norm() for slope in slopes]).numpy()

        return work

    return prepare


CASES = {"force": ahead(bank_force), "force, with slopes": back(bank_force)}
