"""The exports: `Exports.answer` is the only way from a request for a page to the bytes of its answer."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ticketfeed.export.page_cache import PageCache, etag_identity
from ticketfeed.export.parts import join_parts
from ticketfeed.export.source import FeedReader
from ticketfeed.protocol.audit_views import ticket_event_of
from ticketfeed.protocol.consumers import Served
from ticketfeed.protocol.envelope import (
    body_etag,
    encode_etag,
    encode_page,
    encode_span,
    join_arrays,
    page_bodies,
    span_end,
)
from ticketfeed.protocol.gzip_splice import Coding, compress
from ticketfeed.protocol.list_request import ListRequest, paginate
from ticketfeed.protocol.model import INT64_MAX, Account, Filters, Position, Span
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.records import make_export_user
from ticketfeed.protocol.rows import ChangeRow, FeedRow, ListRow, column
from ticketfeed.storage.contract import Store
from ticketfeed.storage.mirrored_accounts import MirroredAccounts

__all__ = ["Answer", "Export", "Exports", "ListedExportRequest", "PageRequest", "StreamedAnswer"]


@dataclass(frozen=True, slots=True)
class Export:
    """One export: its name in usage statistics, the kind of records it reads, and their key in the envelope."""

    name: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class ListedExportRequest:
    """A page of an export in the envelope of lists, with `meta` and `links`: everything strictly after `after`."""

    after: Position
    listed: ListRequest


class PageRequest(NamedTuple):
    """A page of an export, as requested by an account's user at `now`.

    `url` is the requested one without its query, on the host that the client can reach. `coding` is the best one that
    the client accepts.
    """

    account: Account
    export: Export
    query: ExportRequest | SpanRequest | ListedExportRequest
    url: str
    coding: Coding
    now: int


class Answer(NamedTuple):
    """The bytes of a page in their content coding, its entity tag, and what the page covers."""

    body: bytes | bytearray
    coding: str
    etag: str
    served: Served


class StreamedAnswer(NamedTuple):
    """The bytes of an answer that is too large for memory. The last part comes with what all of them cover."""

    parts: AsyncIterator[tuple[bytes, Served | None]]
    coding: str


class Exports:
    """The export pages of one store, with the page cache of this process.

    `cache_bytes` is the disk that the page cache may use; with 0, every page is read from the store.
    """

    def __init__(self, store: Store, settle_seconds: int, cache_bytes: int) -> None:
        self._store, self._settle_seconds = store, settle_seconds
        self._cache = PageCache(store, cache_bytes)
        self.mirrors = MirroredAccounts(store)

    def clear_cache(self) -> None:
        """Drop every cached page, and the bytes of the file that holds them."""
        self._cache.clear()

    async def answer(self, asked: PageRequest) -> Answer | StreamedAnswer:
        """The page, read from the cache where possible. Raises StoreUnavailable."""
        query = asked.query
        second = query.start_time if isinstance(query, SpanRequest) else query.after.generated_timestamp
        if second > asked.now:
            query = await self._from_future(asked, second)
        if isinstance(query, SpanRequest):
            return await self._answer_span(asked, query)
        if isinstance(query, ListedExportRequest):
            return await self._answer_listed(asked, query)
        return await self._answer_page(asked, query)

    async def _from_future(self, asked: PageRequest, second: int) -> ExportRequest | SpanRequest | ListedExportRequest:
        """The request of a reader whose position lies in the future.

        It has it from a machine whose clock was ahead, if the account was brought back since (writing/clock_repair.py),
        and is read from there. A position that the feed has reached is none of these, as that of a server whose clock
        is a little ahead.
        """
        query, rewound_at = asked.query, await self._store.read_rewound_at(asked.account)
        if not rewound_at:
            return query
        state, _ = await (await self._reader(asked, Filters(), ())).read(Position(0, -1), 1)
        if second <= state.watermark:
            return query
        if isinstance(query, SpanRequest):
            return replace(query, start_time=rewound_at + 1)
        return replace(query, after=Position(rewound_at, INT64_MAX))

    async def _answer_page(self, asked: PageRequest, query: ExportRequest) -> Answer:
        export, reader = asked.export, await self._reader(asked, query.filters, query.include)
        if export.kind == "tickets" and self._cache.accepts(query):
            cached = await self._cache.read(reader, query, asked.url, asked.coding)
            if cached is not None:
                page, buffer = cached
                served = Served(
                    export.name, "tickets", query.after, page.end, page.count, page.end_of_stream, query.filters
                )
                return Answer(buffer, asked.coding.name, page.etag, served)
        _, read = await reader.read_page(query)
        served = Served(
            export.name, export.kind, query.after, read.after, len(read.rows), read.end_of_stream, query.filters
        )
        etag = encode_etag(read, *etag_identity(reader, query, asked.url))
        shown = replace(read, rows=_exported_users(read.rows)) if export.kind == "users" else read
        body, coding = compress(encode_page(shown, asked.url, query.repeated, export.key), asked.coding)
        return Answer(body, coding, etag, served)

    async def _answer_span(self, asked: PageRequest, query: SpanRequest) -> Answer | StreamedAnswer:
        export, reader = asked.export, await self._reader(asked, query.filters, query.include)
        span = await reader.read_span(query)
        if span is None:
            return StreamedAnswer(_stream_second(asked, query, reader), asked.coding.name)
        after = Position(query.start_time, -1)
        end = position_of(span.rows[-1]) if span.rows else after
        served = Served(
            export.name, export.kind, after, end, len(span.rows), span.end_of_stream, query.filters, by_time=True
        )
        etag = encode_etag(span, *etag_identity(reader, query, asked.url))
        shown = _shown(span, query, export)
        body, coding = compress(encode_span(shown, asked.url, query.repeated, export.key), asked.coding)
        return Answer(body, coding, etag, served)

    async def _answer_listed(self, asked: PageRequest, query: ListedExportRequest) -> Answer:
        export, limit = asked.export, query.listed.limit
        reader = await self._reader(asked, Filters(), ())
        _, page = await reader.read_page(ExportRequest(query.after, limit, Filters(), (), ()))
        listed = [ListRow(row.generated_timestamp, row.id, row.body) for row in page.rows]
        # `paginate` takes one row more than the page holds as the sign that more follow.
        more = [] if page.end_of_stream else [ListRow(0, 0, b"")]
        rows, ends = paginate(query.listed, [*listed, *more], None, asked.url)
        body = join_arrays([(export.key, [row.body for row in rows])], ends)
        served = Served(export.name, export.kind, query.after, page.after, len(rows), page.end_of_stream, by_time=True)
        encoded, coding = compress(body, asked.coding)
        return Answer(encoded, coding, body_etag(body), served)

    async def _reader(self, asked: PageRequest, filters: Filters, include: tuple[str, ...]) -> FeedReader:
        """A mirror is read as far as its source was walked, which has settled: its clock need not be ours."""
        is_mirror = await self.mirrors.find(asked.account) is not None
        until = INT64_MAX if is_mirror else asked.now - self._settle_seconds
        return FeedReader(self._store, asked.account, asked.export.kind, filters, include, asked.now, until)


async def _stream_second(
    asked: PageRequest, query: SpanRequest, reader: FeedReader
) -> AsyncIterator[tuple[bytes, Served | None]]:
    """One second of a time-based export, page by page."""
    export, count = asked.export, 0
    after = end = Position(query.start_time, -1)
    encoder = asked.coding.stream()
    yield encoder.encode(b'{"%s":[' % export.key.encode()), None
    async for span in reader.read_second(query):
        if span.rows:
            for number, records in enumerate(join_parts(page_bodies(_shown(span, query, export)))):
                yield encoder.encode(b"," + records if count or number else records), None
            count, end = count + len(span.rows), position_of(span.rows[-1])
            del span, records  # before the next ones are read
        else:
            rest = span_end(count, span.end_time, span.end_of_stream, asked.url, query.repeated)
            served = Served(
                export.name, export.kind, after, end, count, span.end_of_stream, query.filters, by_time=True
            )
            tail = b"]," + join_arrays(span.sideloads.items(), rest)[1:]
            yield encoder.encode(tail, is_last=True), served


def _shown(span: Span, query: SpanRequest, export: Export) -> Span:
    """The records as the export shows them: audits in the form of the ticket event export."""
    if export.kind == "users":
        return replace(span, rows=_exported_users(span.rows))
    if export.kind != "audits":
        return span
    comments = "comment_events" in query.include
    rows = [
        ChangeRow(row.generated_timestamp, row.id, ticket_event_of(row.body, comment_events=comments))
        for row in span.rows
    ]
    return replace(span, rows=rows)


def _exported_users(rows: Sequence[FeedRow]) -> Sequence[FeedRow]:
    """Users as an export has them."""
    bodies = column(rows, "body")
    if not any(b'"active":false' in body for body in bodies):  # as most pages; their rows stay lazy
        return rows
    return [ChangeRow(row.generated_timestamp, row.id, make_export_user(row.body)) for row in rows]
