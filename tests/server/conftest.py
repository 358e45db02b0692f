"""Every test below runs on each store that needs no server: in memory, and on SQLite; and on Citus, if there is one."""

from collections.abc import Iterator

import pytest

from tests.engines import HTTP_ENGINES
from tests.server.desk import closing_stores, use_engine
from tests.waiting import SECONDS_MAX
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
def fresh_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is watched is read anew each time: tests do not wait for a moment to pass. It is read to its end, however
    long that takes on a busy machine, or on Citus, where the first look connects to every worker."""
    monkeypatch.setattr(recent_reads, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(recent_reads, "WAIT_SECONDS", SECONDS_MAX)
    monkeypatch.setattr(health, "PROBE_SECONDS", SECONDS_MAX)
    monkeypatch.setattr(health, "ACCOUNTS_SECONDS", SECONDS_MAX)
    monkeypatch.setattr(status, "COUNT_SECONDS", SECONDS_MAX)


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """What a test opens is closed with it, not what a module did before: there are few connections to Citus."""
    with closing_stores():
        yield
