"""Fixtures that several folders share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import PostgresServer

# A test never fails for its speed: that is measured in bench/.
settings.register_profile("ticketfeed", deadline=None)
settings.load_profile("ticketfeed")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run, started by the first test that asks."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    server = PostgresServer(folder / "postgres")
    yield server
    server.stop()
