"""The public API: Exporter, AsyncExporter and export_tickets, against a served desk."""

import asyncio
import dataclasses
import subprocess
import sys

import pytest

import ticketfeed
from ticketfeed import AsyncExporter, Exporter, ExportPage, export_tickets
from ticketfeed.client.oauth import Basic
from ticketfeed.client.sources import parse_source
from ticketfeed.protocol.errors import BadInput
from ticketfeed.testing import FeedServer, serve_desk


@pytest.fixture(scope="module")
def desk() -> FeedServer:
    with serve_desk() as server:
        server.reset(tickets=200)
        server.clock.advance(2)  # the second in which the users were made is over
        yield server


def admin(desk: FeedServer) -> Basic:
    return Basic(desk.email, desk.token)


def test_pages(desk: FeedServer) -> None:
    """Pages have their records, their state and their end; a walk from a state gives what comes behind it."""
    pages = list(export_tickets(desk.url, credentials=admin(desk), per_page=60))
    assert [len(page.records) for page in pages] == [60, 60, 60, 20]
    assert [page.end_of_stream for page in pages] == [False, False, False, True]
    assert all(isinstance(page, ExportPage) for page in pages)
    rest = list(export_tickets(desk.url, credentials=admin(desk), state=pages[1].state))
    assert [record for page in rest for record in page.records] == [*pages[2].records, *pages[3].records]


def test_decode(desk: FeedServer) -> None:
    """Records become dictionaries, or a type of the caller's."""

    @dataclasses.dataclass
    class Ticket:
        id: int
        status: str

    page = next(export_tickets(desk.url, credentials=admin(desk)))
    assert [ticket.id for ticket in page.decode(Ticket)] == [ticket["id"] for ticket in page.decode()]


def test_async_gives_the_same(desk: FeedServer) -> None:
    """AsyncExporter walks as Exporter does, and leaves the loop free meanwhile."""

    async def walk() -> tuple[list[bytes], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        async with AsyncExporter(desk.url, streams=["all"], credentials=admin(desk), per_page=50) as exporter:
            records = [record async for page in exporter for record in page.records]
        ticking.cancel()
        return records, ticks

    records, ticks = asyncio.run(walk())
    with Exporter(desk.url, streams=["all"], credentials=admin(desk), per_page=50) as exporter:
        assert records == [record for page in exporter for record in page.records]
    assert ticks > 100


def test_iterating_again_continues(desk: FeedServer) -> None:
    """A second iteration begins behind the first, and finds what changed."""
    with Exporter(desk.url, credentials=admin(desk)) as exporter:
        before = [key.id for page in exporter for key in page.keys]
        assert [key.id for page in exporter for key in page.keys] == []
        desk.put("tickets", {"id": before[0], "subject": "changed"})
        assert [key.id for page in exporter for key in page.keys] == [before[0]]


def test_sources() -> None:
    """What may be asked how often goes by the host; a name never has a secret, nor has a message."""
    acme = parse_source("https://Acme.zendesk.com/")
    assert (acme.url, acme.account, acme.requests_per_minute) == ("https://acme.zendesk.com", "acme", 10)
    assert parse_source("https://notzendesk.com").requests_per_minute is None
    assert parse_source("http://127.0.0.1:8080").account is None
    store = parse_source("postgresql://feed:secret@db.example.com/desk?password=secret")
    assert (store.kind, store.name) == ("store", "postgresql://db.example.com/desk")
    for text in (
        "postgresql://feed:secret@[::1",
        "https://feed:secret@[::1",
        "https://feed:secret@",
        "ftp://feed:secret@x",
    ):
        with pytest.raises(BadInput) as refused:
            parse_source(text)
        assert "secret" not in str(refused.value)
    with pytest.raises(BadInput, match="per_page"):
        Exporter("https://acme.zendesk.com", per_page=1001)


def test_without_the_extra() -> None:
    """The package is imported without the exporter's libraries; their lack is told when it is used."""
    code = "import sys; sys.modules['urllib3'] = None; import ticketfeed; print(ticketfeed.Exporter)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "ImportError: Exporter needs urllib3: pip install 'ticketfeed[export]'"
    code = "import sys, ticketfeed; print(sorted({'urllib3', 'pyarrow', 'duckdb'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert {"AsyncExporter", "Exporter", "ExportPage", "export_tickets"} <= set(ticketfeed.__all__)
