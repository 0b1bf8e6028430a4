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
