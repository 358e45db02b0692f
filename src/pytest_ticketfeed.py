"""The fixture `ticketfeed`: one server for the session, on a free port, its desk as new for every test.

A test says with `@pytest.mark.ticketfeed(tickets=..., seed=..., profile=..., rules=...)` what desk it wants; the ini
options `ticketfeed_tickets` and `ticketfeed_seed` say it for all.

It stands outside of the package, as pytest imports it at every start, and the package only where the fixture is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ticketfeed.testing import FeedServer

__all__ = ["pytest_addoption", "pytest_configure", "ticketfeed", "ticketfeed_server"]

_OPTIONS = ("tickets", "seed", "profile", "rules")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("ticketfeed_tickets", "How many tickets the desk of the fixture ticketfeed has.", default="200")
    parser.addini("ticketfeed_seed", "Which desk that is: another seed gives another.", default="1")


def pytest_configure(config: pytest.Config) -> None:
    text = "ticketfeed(tickets=200, seed=1, profile='open', rules={}): the desk that this test's server has"
    config.addinivalue_line("markers", text)


@pytest.fixture(scope="session")
def ticketfeed_server() -> "Iterator[FeedServer]":
    """The server of the session; use `ticketfeed`, which is this one with its desk as new."""
    from ticketfeed.testing import serve_desk

    with serve_desk(tickets=0) as server:
        yield server


@pytest.fixture
def ticketfeed(request: pytest.FixtureRequest, ticketfeed_server: "FeedServer") -> "FeedServer":
    """A help desk behind `ticketfeed.url`, as new, with `token` to read it."""
    desk: dict[str, Any] = {name: _number(request.config, name) for name in ("tickets", "seed")}
    for marker in reversed(list(request.node.iter_markers("ticketfeed"))):
        unknown = marker.kwargs.keys() - set(_OPTIONS)
        if marker.args or unknown:
            raise pytest.UsageError(f"the marker ticketfeed takes {', '.join(_OPTIONS)} by name")
        desk |= marker.kwargs
    ticketfeed_server.reset(**desk)
    return ticketfeed_server


def _number(config: pytest.Config, name: str) -> int:
    text = str(config.getini(f"ticketfeed_{name}"))
    if not text.isdecimal():
        raise pytest.UsageError(f"ticketfeed_{name} is {text!r}, which is not a whole number")
    return int(text)
