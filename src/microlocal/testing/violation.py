"""What a broken law raises."""


class LawViolation(AssertionError):
    """A member does not keep a law; the message says by how much."""


def expect(kept: bool, message: str) -> None:
    """Raise LawViolation with ``message`` unless the law is kept."""
    if not kept:
        raise LawViolation(message)
