"""What many unit tests are run with."""

import pytest


@pytest.fixture(params=["plain", "fast"])
def wire(request: pytest.FixtureRequest) -> str:
    """Return the way that a toy engine's turns go: each of both."""
    return str(request.param)
