"""A diffusion network whose diffusivities are learned and see their surroundings, with the maximum-minimum principle.

    u_{k+1} = u_k - τ Dᵀ g_k D u_k,      D: differences of neighbours,      0 < g_k = logistic(C_k(u_k)) < 1,  τ <= 1/8

D takes the differences to the right, below, and along both diagonals; a pixel has at most eight neighbours, so that
every new value is a mean of old ones with weights >= 0 that sum to one, whatever C_k says: values stay in the range of
the image, weights are symmetric, so that the mean grey value is kept, and norms fall. This is Weickert's semidiscrete
theory for a diffusivity that is any function of the image. Diffusion networks after Arridge and Hauptmann learn their
filters from the image in this way, one for each pixel instead of each pair (``diffnet``), and without the bounds.

Reference: Weickert (1998), theorem 8; Arridge and Hauptmann (2020).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee
from microlocal.core.checks import at_least
from microlocal.core.registry import register
from microlocal.networks.neighbours import NEIGHBOURS, differences, estimator, exchanged
from microlocal.networks.trial import NetworkTrial

LONGEST = 1 / (2 * len(NEIGHBOURS))  # τ for g <= 1


def _samples() -> list[NetworkTrial]:
    def build() -> LearnedDiffusivity:
        torch.manual_seed(0)
        return LearnedDiffusivity(steps=3, width=4)

    return [NetworkTrial("three steps with learned diffusivities", build, (1, 7, 9))]


@register("network", "learned-diffusivity", samples=_samples, reference="arridge2020")
class LearnedDiffusivity(nn.Module):
    """Diffusion steps on images (batch, 1, row, col), each with a small network for its four diffusivities.

    Parameters: ``steps``; ``width``, the features of a network; ``dilations`` of its convolutions.

    >>> network = LearnedDiffusivity(steps=2, width=4)
    >>> spike = torch.zeros(1, 1, 5, 5)
    >>> spike[..., 2, 2] = 1.0
    >>> found = network(spike).detach()
    >>> bool(found.min() >= 0 and found.max() <= 1), round(float(found.sum()), 5)
    (True, 1.0)
    """

    def __init__(self, steps: int = 8, width: int = 16, dilations: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            estimator(len(NEIGHBOURS), len(NEIGHBOURS), width, dilations)
            for _ in range(at_least(steps, 1, "steps", "LearnedDiffusivity"))
        )

    def forward(self, u: Float[Tensor, "batch 1 row col"]) -> Float[Tensor, "batch 1 row col"]:
        """Return u after all steps."""
        for net in self.nets:
            g = LONGEST * torch.sigmoid(net(differences(u)))
            u = exchanged(u, g, g)
        return u

    def guarantee(self) -> Guarantee:
        return Guarantee(gain=1.0, range=True, mean=True)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        neighbours = 2 * len(NEIGHBOURS)
        return (
            Hypothesis("0 <= g <= 1, for any weights: a logistic function", "0 to 1", True),
            Hypothesis("τ times the neighbours <= 1", f"{LONGEST:g} · {neighbours}", LONGEST * neighbours <= 1),
            Hypothesis("the weight of a pair is the same in both directions", "Dᵀ g D", True),
        )
