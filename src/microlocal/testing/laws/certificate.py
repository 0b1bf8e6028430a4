"""The laws of certificates."""

import math
from dataclasses import replace

from microlocal.certificates.base import Certificate, Kind, certificate_from_dict
from microlocal.testing.violation import expect


def holds_as_issued(certificate: Certificate) -> None:
    """The measured value is within the bound and every hypothesis holds."""
    expect(certificate.holds, f"{certificate.claim} value {certificate.value:.6g} > bound {certificate.bound:.6g}")


def survives_the_attack(certificate: Certificate) -> None:
    """An adversarial search from three seeds finds nothing beyond the bound."""
    for seed in range(3):
        worst = certificate.falsify(seed)
        expect(
            worst <= certificate.bound * (1 + 1e-9),
            f"{certificate.claim} refuted: {worst:.6g} > {certificate.bound:.6g}",
        )


def can_be_attacked(certificate: Certificate) -> None:
    """A claim that nothing could refute is not a certificate."""
    expect(certificate.attack is not None, f"{certificate.claim} carries no attack")


def survives_writing_and_reading(certificate: Certificate) -> None:
    """The dictionary form rebuilds an equal certificate."""
    expect(certificate_from_dict(certificate.to_dict()) == certificate, f"{certificate.claim} changed on the way")


def proofs_rest_on_hypotheses(certificate: Certificate) -> None:
    """A proved claim names the hypotheses that were checked and its reference."""
    if certificate.kind is Kind.PROVED:
        complete = bool(certificate.hypotheses and certificate.reference)
        expect(complete, f"{certificate.claim} is called proved without hypotheses or reference")


def not_a_number_never_holds(certificate: Certificate) -> None:
    """A value that is not a number is within no bound."""
    expect(not replace(certificate, value=math.nan).holds, f"{certificate.claim} holds for a value that is no number")


LAWS = (
    holds_as_issued,
    survives_the_attack,
    can_be_attacked,
    survives_writing_and_reading,
    proofs_rest_on_hypotheses,
    not_a_number_never_holds,
)
