"""What tests of several processes share: a port on which they can meet."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def free_port() -> Callable[[], str]:
    """Ask for a port that nothing uses now; accelerate's own "0" for it came after version 1.0."""

    def find() -> str:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            return str(found.getsockname()[1])

    return find
