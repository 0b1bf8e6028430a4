"""What can be certified of a frame: the Parseval identity."""

import torch

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.base import Frame
from microlocal.frames.shearlet import ShearletFrame

PARSEVAL_GAP = 1e-12


def parseval_gap(frame: Frame, seed: int = 0) -> float:
    """Return the largest |1 - |W x|²/|x|²| over a few images: noise, one pixel, and one wave."""
    rows, cols = frame.domain_shape
    source = generator(seed)
    pixel = torch.zeros(rows, cols, dtype=torch.float64)
    pixel[int(torch.randint(rows, (), generator=source)), int(torch.randint(cols, (), generator=source))] = 1.0
    phase = torch.rand(3, generator=source, dtype=torch.float64) * torch.pi
    r, c = torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(cols, dtype=torch.float64)[None, :]
    wave = torch.cos(phase[0] * r + phase[1] * c + phase[2])
    images = torch.stack((torch.randn(rows, cols, dtype=torch.float64, generator=source), pixel, wave))
    ratio = torch.stack([frame(x).square().sum() / x.square().sum() for x in images])
    return float((ratio - 1).abs().max())


def _samples() -> list[Certificate]:
    return [certify_parseval(ShearletFrame(shape)) for shape in ((16, 16), (15, 22))]


@register("certificate", "parseval", samples=_samples, reference="guo2013")
def certify_parseval(frame: Frame) -> Certificate:
    """Certify |W x| = |x| for all images: the filters are circular, so the bounds are extrema over frequencies."""
    lower, upper = frame.bounds()
    gap = max(abs(1 - lower), abs(upper - 1))
    return Certificate(
        claim=f"The {len(frame.filters)} shearlet filters form a Parseval frame: no information is lost or doubled.",
        kind=Kind.PROVED,
        value=gap,
        bound=PARSEVAL_GAP,
        hypotheses=(
            Hypothesis("Σ|ψ̂|² = 1 at every frequency of the grid", f"largest deviation {gap:.2g}", gap <= PARSEVAL_GAP),
        ),
        reference="guo2013",
        attack=lambda seed: parseval_gap(frame, seed + 1),
    )
