"""The public face of the exporter: pages of an account's streams, from where the caller left off.

for page in export_tickets("https://acme.zendesk.com", state=state):
    for ticket in page.decode(): ...
    state = page.state      # store it with the records; the next run continues after this page
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ticketfeed.client.auth import TokenFile, find_credentials
from ticketfeed.client.drivers import Sleep, drive, drive_async
from ticketfeed.client.flow import Plan, walk
from ticketfeed.client.oauth import Credentials, RefreshToken
from ticketfeed.client.session import Patience, Session
from ticketfeed.client.sources import Source, parse_source
from ticketfeed.client.steps import ExportPage
from ticketfeed.client.streams import STREAMS, choose_streams
from ticketfeed.client.transport import HttpTransport, Transport
from ticketfeed.clock import system_instant
from ticketfeed.protocol.errors import BadInput

__all__ = ["AsyncExporter", "Exporter", "connect", "export_tickets"]

PER_PAGE_MAX = 1000


class _Exporter:
    """What both exporters are made of."""

    def __init__(
        self,
        source: str | Source,
        *,
        streams: Sequence[str] = ("tickets",),
        credentials: Credentials | None = None,
        account: str | None = None,
        since: int = 0,
        until: int | None = None,
        states: Mapping[str, Mapping[str, Any]] | None = None,
        follow: bool = False,
        requests_per_minute: int | None = None,
        give_up_after_seconds: float = 3600.0,
        per_page: int = PER_PAGE_MAX,
    ) -> None:
        if not 1 <= per_page <= PER_PAGE_MAX:
            raise BadInput(f"per_page must be from 1 to {PER_PAGE_MAX}")
        self.source = source if isinstance(source, Source) else parse_source(source)
        self.states = dict(states or {})
        limit = self.source.requests_per_minute if requests_per_minute is None else requests_per_minute or None
        self._patience = Patience(per_page, limit, give_up_after_seconds)
        follow_seconds = self.source.follow_seconds if follow else None
        self.streams = choose_streams(tuple(streams))
        optional = [name for name in self.streams if STREAMS[name].way == "list"] if "all" in streams else []
        self._plan = Plan(self.streams, since, until, optional, follow_seconds, self._patience)
        self._transport, self.account = connect(self.source, account)
        self._credentials = credentials
        if self.source.kind == "http" and credentials is None:
            self._credentials = find_credentials(self.source.url)
        rotating = self._credentials if isinstance(self._credentials, RefreshToken) else None
        self.token_file = TokenFile(rotating.file, self.source.url) if rotating else None
        self.session = self._new_session()

    def _new_session(self) -> Session:
        return Session(self._patience, self._credentials, system_instant())

    @property
    def transport(self) -> Transport:
        return self._transport

    def _close(self) -> None:
        if self.token_file is not None:
            self.token_file.close()
        self._transport.close()


def connect(source: Source, account: str | None = None) -> tuple[Transport, str | None]:
    """What sends requests to a source, and the account that it reads. `account`: of a store that has several.

    Raises BadInput, NotFound, StoreError.
    """
    if source.kind == "store":
        from ticketfeed.client.store_source import StoreTransport  # only where a store is read: it brings the server

        transport = StoreTransport(source.url, account)
        return transport, transport.account
    if account is not None:
        raise BadInput("an account can be chosen for a store URL only; over HTTP the host names it")
    return HttpTransport(source.url), source.account


class Exporter(_Exporter):
    """Pages of an account's exports, for threads. A context manager that closes its connection.

    `source`: https://NAME.zendesk.com, another base address, or a store URL. `streams`: names, or `all`.
    `credentials`: otherwise from the environment or a netrc file. `account`: of a store URL that has several.
    `since`, `until`: Unix seconds, the second exclusive. `states`: for each stream the `state` of the last page that
    was stored. `follow`: poll for changes after the end. `requests_per_minute`: None is 10 below zendesk.com and
    unlimited elsewhere, 0 is unlimited. Raises BadInput, NotFound, StoreError.

    Iterating walks every stream from `states` to its end; iterating again continues from there. Raises SourceError
    where the source refuses, or has not answered for `give_up_after_seconds`.
    """

    sleep: Sleep | None = None

    def __iter__(self) -> Iterator[ExportPage]:
        flow = walk(self._plan, self.states, self.session)
        for page in drive(flow, self._transport, self.token_file, self.sleep):
            yield page
            self.states[page.stream] = page.state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._close()


class AsyncExporter(_Exporter):
    """Pages of an account's exports, for asyncio; its arguments and errors are those of Exporter."""

    async def __aiter__(self) -> AsyncIterator[ExportPage]:
        flow = walk(self._plan, self.states, self.session)
        async for page in drive_async(flow, self._transport, self.token_file):
            yield page
            self.states[page.stream] = page.state

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()


def export_tickets(source: str, *, state: Mapping[str, Any] | None = None, **options: Any) -> Iterator[ExportPage]:
    """Pages of tickets up to the end of the stream. `state`: the last stored page's; `options`: Exporter's."""
    states = {"tickets": state} if state else {}
    with Exporter(source, streams=("tickets",), states=states, **options) as exporter:
        yield from exporter
