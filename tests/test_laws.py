"""Every registered member against every law of its kind."""

import pytest

from microlocal.testing.suite import cases


@pytest.mark.parametrize(
    ("sample", "law"), [pytest.param(c[2], c[3], id=f"{c[0]}-{c[1]}-{c[3].__name__}") for c in cases()]
)
def test_law(sample, law):
    law(sample)
