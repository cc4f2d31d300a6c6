"""Fixtures for pytest; loaded by pytest itself wherever the package is installed.

Override `pdp_policies` to test a policy set of your own. The core is only
loaded by tests that use these fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pdp.client import Client
    from pdp.engine import Addresses, Engine


@pytest.fixture(scope="session")
def pdp_policies() -> Path:
    """Policy set directory: the sample estate, unless overridden."""
    from pdp.engine import sample_policies  # noqa: PLC0415 - loads the core

    return sample_policies()


@pytest.fixture
def pdp_engine(pdp_policies: Path) -> Engine:
    """An engine over `pdp_policies`, with counters of its own."""
    from pdp.engine import Engine  # noqa: PLC0415 - loads the core

    return Engine(pdp_policies)


@pytest.fixture
def pdp_server(pdp_policies: Path) -> Iterator[Addresses]:
    """Addresses of a decision point over `pdp_policies`, on ports of the system's choice."""
    from pdp.config import Config  # noqa: PLC0415
    from pdp.engine import Server  # noqa: PLC0415 - loads the core

    local = "127.0.0.1:0"
    config = Config(
        policies=pdp_policies, listen=local, admin_listen=local, http_listen=local, threads=1, watch=False
    )
    with Server(config) as server:
        yield server.start()


@pytest.fixture
def pdp_client(pdp_server: Addresses) -> Iterator[Client]:
    """A client of `pdp_server`."""
    from pdp.client import Client, ClientOptions  # noqa: PLC0415

    with Client(pdp_server.decision, ClientOptions(timeout_seconds=10.0)) as client:
        yield client
