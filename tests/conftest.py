"""Fixtures that every test may use, and the limits that keep parallel workers out of each other's way."""

import os
import signal
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)


def pytest_configure(config):
    """Let SIGINT through to what the tests start: shells ignore it on behalf of what they run in the background."""
    del config
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data folder: $MICROLOCAL_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("MICROLOCAL_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the development data are not here: {folder} (set MICROLOCAL_SHARED)")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return REPOSITORY
