"""Every test below runs on each store that needs no server: in memory, and on SQLite; and on Citus, if there is one."""

from collections.abc import Iterator

import pytest

from tests.engines import HTTP_ENGINES
from tests.server.desk import closing_stores, use_engine
from ticketfeed.data import status
from ticketfeed.server import recent_reads
from ticketfeed.server.ops import health


@pytest.fixture(scope="module", params=HTTP_ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of the desks that a test makes."""
    use_engine(request.param)
    with closing_stores():
        yield request.param
    use_engine("memory")


@pytest.fixture(autouse=True)
def fresh_reads(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is watched is read anew each time: tests do not wait for a moment to pass. On Citus the first look connects
    to every worker, for which a busy machine has time."""
    monkeypatch.setattr(recent_reads, "KEEP_SECONDS", 0.0)
    if engine == "citus":
        monkeypatch.setattr(recent_reads, "WAIT_SECONDS", 20.0)
        monkeypatch.setattr(health, "PROBE_SECONDS", 20.0)
        monkeypatch.setattr(health, "ACCOUNTS_SECONDS", 15.0)
        monkeypatch.setattr(status, "COUNT_SECONDS", 20.0)


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """What a test opens is closed with it, not what a module did before: there are few connections to Citus."""
    with closing_stores():
        yield
