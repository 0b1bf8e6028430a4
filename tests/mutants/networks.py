"""Networks that break one law each of those that state what is proved of them."""

import itertools

import torch
from torch import nn

from microlocal.certificates import Guarantee
from microlocal.certificates.base import Hypothesis
from microlocal.networks.trial import NetworkTrial

SHAPE = (1, 4, 8)


class Halved(nn.Module):
    """Half of an image or less, column by column: right in everything."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-0.9, 0.9, SHAPE[-1]))

    def forward(self, u):
        return 0.5 * torch.cos(self.weight) * u

    def guarantee(self):
        return Guarantee(gain=0.5, lipschitz=0.5)

    def hypotheses(self):
        return (Hypothesis("|cos| <= 1", "1", True),)


class ProvesNothing(Halved):
    def guarantee(self):
        return Guarantee()


class ClaimsTooMuch(Halved):
    def guarantee(self):
        return Guarantee(gain=0.49, lipschitz=0.49)


class BoundAtTheBegin(Halved):
    """States what is true of the weights it begins with."""

    def forward(self, u):
        return self.weight * u

    def guarantee(self):
        return Guarantee(gain=0.9, lipschitz=0.9)


class KeepsAFactorToItself(Halved):
    """Has a factor that no file holds."""

    built = itertools.count()

    def __init__(self):
        super().__init__()
        self.factor = 0.5 / (1 + next(self.built))

    def forward(self, u):
        return self.factor * torch.cos(self.weight) * u

    def guarantee(self):
        return Guarantee(gain=self.factor, lipschitz=self.factor)


class NeverQuiteZero(Halved):
    """Keeps norms, but not below the floor of its own division."""

    def forward(self, u):
        length = u.flatten(1).norm(dim=1)[:, None, None, None].clamp_min(1e-12)
        noise = torch.cos(100 * torch.arange(u.numel() // len(u)).to(u)).reshape(u.shape[1:])
        return super().forward(u) + 1e-3 * length * noise / noise.norm()

    def guarantee(self):
        return Guarantee(gain=0.501)


class InSinglePrecision(Halved):
    def forward(self, u):
        return super().forward(u).float()


class LooksAtTheBatch(Halved):
    def forward(self, u):
        return super().forward(u - u.mean(dim=0, keepdim=True))


class KeepsItsWeightsOutOfSight(Halved):
    """Has weights that are no parameters: nothing sees that they changed."""

    def __init__(self):
        nn.Module.__init__(self)
        self.weight = torch.linspace(-0.9, 0.9, SHAPE[-1])


def networks():
    """Return the mutant of every law of networks."""
    broken = {
        "states_something": ProvesNothing,
        "survives_the_attack": ClaimsTooMuch,
        "survives_training": BoundAtTheBegin,
        "survives_writing_and_reading": KeepsAFactorToItself,
        "no_signal_is_too_small": NeverQuiteZero,
        "precision_is_kept": InSinglePrecision,
        "images_do_not_meet": LooksAtTheBatch,
        "not_a_number_proves_nothing": KeepsItsWeightsOutOfSight,
    }
    return {law: NetworkTrial(kind.__name__, kind, SHAPE) for law, kind in broken.items()}
