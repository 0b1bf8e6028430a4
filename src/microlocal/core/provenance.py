"""Where a pixel or an edge of a reconstruction comes from."""

from enum import IntEnum


class Provenance(IntEnum):
    """Where a pixel or an edge comes from; NONE marks pixels without an edge in an edge map.

    >>> int(Provenance.UNDETERMINED)
    3
    """

    NONE = 0
    MEASURED = 1
    LEARNED = 2
    UNDETERMINED = 3


KINDS = tuple(kind for kind in Provenance if kind is not Provenance.NONE)
# Teal, violet and orange: far apart for every kind of colour vision, on black and on white ground.
COLOURS = {Provenance.MEASURED: "#20c8d4", Provenance.LEARNED: "#9a4dff", Provenance.UNDETERMINED: "#ff9a1e"}
NAMED = {int(kind): (kind.name.lower(), COLOURS[kind]) for kind in KINDS}  # name and colour by code
