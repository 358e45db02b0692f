"""Fixtures that several folders share."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.citus import CITUS_URL, NO_CITUS, CitusServer
from tests.engines import ENGINES, EngineName, sqlite_url
from tests.postgres import PostgresServer

# A test never fails for its speed: that is measured in bench/.
settings.register_profile("ticketfeed", deadline=None)
settings.load_profile("ticketfeed")


def pytest_collection_finish() -> None:
    """Leave what was imported and collected, which lasts as long as the run, to no more garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run, started by the first test that asks."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    # Not in pytest's own folder: each pytest that starts closes that to other users, and the server may run as one.
    server = PostgresServer(Path(tempfile.gettempdir()) / f"ticketfeed-postgres-{run}", cleanup_mode="delete")
    yield server
    server.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, as the one of a server may be: each pytest that starts closes its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def citus() -> CitusServer:
    """The Citus that TICKETFEED_TEST_CITUS_DSN names; skips where it names none."""
    if not CITUS_URL:
        pytest.skip(NO_CITUS)
    return CitusServer()


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The URL where a store of a named engine may be made; on PostgreSQL it is there, empty, on Citus distributed."""
    on_citus: list[str] = []

    def make(name: str) -> str:
        if name == "memory":
            return "memory:"
        if name == "sqlite":
            return sqlite_url(tmp_path)
        if name == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres")
            return server.new_store()
        on_citus.append(request.getfixturevalue("citus").new_store())
        return on_citus[-1]

    yield make
    if on_citus:
        request.getfixturevalue("citus").take_back(on_citus)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> EngineName:
    """Every engine in turn."""
    name: EngineName = request.param
    return name


@pytest.fixture
def url(engine_name: EngineName, new_url: Callable[[str], str]) -> str:
    """Where a store may be made, on every engine in turn."""
    return new_url(engine_name)
