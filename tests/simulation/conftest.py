"""Every engine in turn."""

from pathlib import Path

import pytest

from tests.engines import ENGINES, EngineName, sqlite_url
from tests.postgres import PostgresServer


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


@pytest.fixture
def url(engine_name: EngineName, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where a store may be made."""
    if engine_name == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
