"""Processes that really run at once: what one machine's scheduler does to the promise."""

from pathlib import Path

import pytest

from tests.engines import ENGINES, EngineName, sqlite_url
from tests.postgres import PostgresServer
from tests.process.concurrency import run_concurrently


@pytest.mark.parametrize("engine_name", ENGINES)
def test_writers_and_readers_at_once(engine_name: EngineName, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Writers and readers in many processes under wild clocks: nothing shows behind a cursor, nothing is lost."""
    if engine_name == "sqlite":
        url = sqlite_url(tmp_path)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    figures, violations = run_concurrently(url, tmp_path / "journals", seconds=7, seed=1)
    assert violations == ""
    assert figures.acknowledged > 20
    assert figures.pages > 20
