"""The law suites: what every operator, frame, functional, solver and certificate is held to.

They are shipped so that you can hold your own members to them:

    from microlocal.testing import check
    check("operator", MyOperator(...))
"""

from microlocal.testing.suite import check as check
from microlocal.testing.suite import laws as laws
from microlocal.testing.violation import LawViolation as LawViolation
