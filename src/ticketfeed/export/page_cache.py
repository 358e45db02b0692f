"""The page cache: pages of the cursor export of tickets, as they were sent.

A cached page is a list of places in the fragment file, together with the fragments that it depends on. It is sent again
as long as all of these are valid, and assembled again when one is not. Measured without it, when each request assembled
its page from fragments, a gzip page took half as much CPU time again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ticketfeed.export.assembly import LargePage, assemble_page
from ticketfeed.export.fragment_file import SplicedBody
from ticketfeed.export.fragments import Fragment, FragmentCache
from ticketfeed.export.source import FeedReader
from ticketfeed.protocol.envelope import encode_etag, encode_page, encode_segments_etag, page_frame
from ticketfeed.protocol.gzip_splice import Coding, Segment
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.storage.contract import FeedStore

__all__ = ["CachedPage", "PageCache", "etag_identity"]

# About 5 KB each.
PAGES_MAX = 1000


@dataclass(frozen=True, slots=True)
class CachedPage:
    """A page as sent, `count` tickets up to `end`.

    `fragments` are those that it depends on, None among them for a part that could not be cached. `record_changes` is
    that of the account row that a page with sideloads was read with.
    """

    body: SplicedBody
    etag: str
    end: Position
    count: int
    end_of_stream: bool
    fragments: Sequence[Fragment | None]
    record_changes: int | None = None

    def is_fresh(self, known: FeedState) -> bool:
        """Whether nothing has changed that the page shows, as far as is known.

        The last page of the feed never is: new tickets invalidate no fragment. That tickets follow a page is taken to
        last. If all of them should move on, the reader asks once more and gets an empty page.
        """
        if self.end_of_stream or self.record_changes not in (None, known.record_changes):
            return False
        return all(fragment is not None and fragment.is_valid for fragment in self.fragments)


class PageCache:
    """The cached pages of one store in this process; `capacity` is that of the fragment file, in bytes."""

    def __init__(self, store: FeedStore, capacity: int) -> None:
        self._store = store
        self._fragments = FragmentCache(store, capacity)
        # Oldest first.
        self._pages: dict[tuple[object, ...], CachedPage] = {}

    def accepts(self, request: ExportRequest) -> bool:
        """Whether pages of this kind are cached.

        Small pages would make small fragments. Records beside the tickets can be cached where the store notices any
        change of them at once; values inside the tickets, such as SLAs, change too often.
        """
        if not self._fragments.file.is_enabled or request.page_limit < self._fragments.fragment_tickets:
            return False
        if not request.include:
            return True
        return self._store.change_counter() is not None and all(name in SIDELOADED_KINDS for name in request.include)

    def clear(self) -> None:
        """Drop every page, and the bytes of the file."""
        self._pages.clear()
        self._fragments.clear()

    async def read(
        self, reader: FeedReader, request: ExportRequest, url: str, coding: Coding
    ) -> tuple[CachedPage, bytearray] | None:
        """The page, from the cache or made and cached, and its body.

        None if other requests overwrote it meanwhile, or if it is too large to be cached.
        """
        await self._fragments.refresh(reader.account)
        key = (reader.account.account_id, request, url, coding.name)
        page = self._pages.get(key)
        if page is None or not page.is_fresh(self._fragments.known_state(reader.account)):
            make = self._read_page if request.include else self._assemble_page
            try:
                page = await make(reader, request, url, coding)
            except LargePage:
                return None
            self._keep(reader.account, key, page)
        body = self._fragments.file.read(page.body)
        if body is None:
            self._pages.pop(key, None)
            return None
        return page, body

    def _keep(self, account: Account, key: tuple[object, ...], page: CachedPage) -> None:
        self._pages.pop(key, None)
        if page.is_fresh(self._fragments.known_state(account)):
            self._pages[key] = page
        if len(self._pages) > PAGES_MAX:
            del self._pages[next(iter(self._pages))]

    async def _assemble_page(self, reader: FeedReader, request: ExportRequest, url: str, coding: Coding) -> CachedPage:
        """A page without sideloads, assembled from fragments."""
        page = await assemble_page(self._fragments, reader, request.after, request.page_limit, coding)
        segments = page.segments
        head, tail = page_frame(page.after if segments else None, page.end_of_stream, url, request.repeated)
        return CachedPage(
            body=SplicedBody(coding, head, segments, tail),
            etag=encode_segments_etag(segments, page.end_of_stream, *etag_identity(reader, request, url)),
            end=page.after,
            count=sum([segment.count for segment in segments]),
            end_of_stream=page.end_of_stream,
            fragments=page.fragments,
        )

    async def _read_page(self, reader: FeedReader, request: ExportRequest, url: str, coding: Coding) -> CachedPage:
        """A page with sideloads, read from the store: its whole body is one fragment."""
        state, page = await reader.read_page(request)
        data, size, crc = coding.encode([encode_page(page, url, request.repeated)])
        fragment = Fragment(
            request.after, page.after, Segment(len(page.rows), 0, page.after, size, crc, len(data), data)
        )
        is_cached = (
            not page.end_of_stream
            and self._fragments.is_current(reader.account, state)
            and self._fragments.file.store(fragment.segment, coding.separator)
        )
        if is_cached:
            self._fragments.track(reader.account, fragment)
        return CachedPage(
            body=SplicedBody(coding, b"", [fragment.segment], b""),
            etag=encode_etag(page, *etag_identity(reader, request, url)),
            end=page.after,
            count=len(page.rows),
            end_of_stream=page.end_of_stream,
            fragments=[fragment if is_cached else None],
            record_changes=state.record_changes,
        )


def etag_identity(reader: FeedReader, request: ExportRequest | SpanRequest, url: str) -> tuple[str, ...]:
    """What distinguishes this answer from one of another store, account or URL that shows the same records."""
    return reader.store.store_id, reader.account.subdomain, url, repr(request.repeated)
