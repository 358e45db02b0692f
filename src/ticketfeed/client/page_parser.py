"""Answers of the exports -> records and where to continue. Records are never parsed as a whole: their bytes pass on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from ticketfeed.client.steps import Key
from ticketfeed.protocol.record_types import COMMENT_TYPES
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = [
    "CursorPage",
    "ListPage",
    "NotAPage",
    "TimePage",
    "comments_of",
    "digest",
    "error_text",
    "parse_cursor_page",
    "parse_keys",
    "parse_list_page",
    "parse_time_page",
    "record_seconds",
]

EXCERPT_CHARACTERS = 80


class NotAPage(Exception):
    """An answer with status 200 that is no page of this export; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class CursorPage:
    records: list[bytes]
    cursor: str | None
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class TimePage:
    """`end_of_stream`: None where the answer has no such member."""

    records: list[bytes]
    end_time: int | None
    end_of_stream: bool | None


@dataclass(frozen=True, slots=True)
class ListPage:
    """`after`: the parameters of the next page; None at the end."""

    records: list[bytes]
    after: dict[str, str] | None


class _Meta(msgspec.Struct):
    has_more: bool = False
    after_cursor: str | None = None


@cache
def _decoder(key: str, fields: tuple[tuple[str, Any], ...]) -> msgspec.json.Decoder[Any]:
    # Renamed, as the records' own key may be any text.
    members: list[tuple[str, Any, Any]] = [("records", list[msgspec.Raw] | None, None)]
    members += [(name, kind, default) for name, (kind, default) in fields]
    return msgspec.json.Decoder(msgspec.defstruct("Envelope", members, rename={"records": key}))


def _decode(body: bytes, key: str, **fields: Any) -> Any:
    try:
        page = _decoder(key, tuple(fields.items())).decode(body)
    except UNREADABLE as error:
        raise NotAPage(f"the answer is no page of {key} ({_reason(body, error)})") from None
    if page.records is None:
        raise NotAPage(f"the answer is no page of {key} (it has no array {key!r})")
    return page


def _reason(body: bytes, error: Exception) -> str:
    text = body.lstrip()[:EXCERPT_CHARACTERS].decode("utf-8", "replace")
    if text.startswith("<"):
        return f"it is HTML: {text}"
    return f"it is empty: {error}" if not text else str(error)


def _records(page: Any) -> list[bytes]:
    return [bytes(record) for record in page.records]


def parse_cursor_page(key: str, body: bytes) -> CursorPage:
    """Raises NotAPage."""
    page = _decode(body, key, after_cursor=(str | None, None), end_of_stream=(bool | None, None))
    if page.end_of_stream is None:
        raise NotAPage("end_of_stream is missing, so the end of the stream is unknown")
    return CursorPage(_records(page), page.after_cursor, page.end_of_stream)


def parse_time_page(key: str, body: bytes) -> TimePage:
    """Raises NotAPage."""
    page = _decode(body, key, end_time=(int | None, None), end_of_stream=(bool | None, None))
    return TimePage(_records(page), page.end_time, page.end_of_stream)


def parse_list_page(key: str, body: bytes) -> ListPage:
    """By cursor, where the answer has `meta`; else by the page number in `next_page`. Raises NotAPage."""
    page = _decode(body, key, meta=(_Meta | None, None), next_page=(str | None, None))
    after = None
    if page.meta is not None:
        if page.meta.has_more:
            if not page.meta.after_cursor:
                raise NotAPage("meta.has_more is true, and meta.after_cursor is missing")
            after = {"page[after]": page.meta.after_cursor}
    elif page.next_page:
        # Of the address only the number is used: it may name another host, which must not be sent credentials.
        numbers = parse_qs(urlsplit(page.next_page).query).get("page", [])
        if not numbers or not numbers[-1].isdecimal():
            raise NotAPage("next_page has no page number")
        after = {"page": numbers[-1]}
    return ListPage(_records(page), after)


_KEY = msgspec.json.Decoder(Key)


def parse_keys(records: Sequence[bytes]) -> list[Key]:
    """Raises NotAPage."""
    try:
        return [_KEY.decode(record) for record in records]
    except UNREADABLE as error:
        raise NotAPage(f"a ticket of the answer cannot be used: {error}") from None


@cache
def _time_decoder(key: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Timed", [("time", Any, None)], rename={"time": key}))


def record_seconds(record: bytes, time_key: str) -> int | None:
    """When a record last changed, in Unix seconds; None where it has no such time."""
    try:
        time = _time_decoder(time_key).decode(record).time
        if isinstance(time, str):
            return int(msgspec.convert(time, type=datetime, strict=False).timestamp())
    except UNREADABLE:
        return None
    return int(time) if isinstance(time, int | float) else None


class _TicketEvent(msgspec.Struct):
    child_events: list[msgspec.Raw] = []
    id: int | None = None
    ticket_id: int | None = None
    created_at: str | None = None
    timestamp: int | None = None


class _Child(msgspec.Struct):
    event_type: str | None = None
    type: str | None = None
    ticket_id: Any = msgspec.UNSET
    audit_id: Any = msgspec.UNSET
    created_at: Any = msgspec.UNSET


_TICKET_EVENT = msgspec.json.Decoder(_TicketEvent)
_CHILD = msgspec.json.Decoder(_Child)


def comments_of(event: bytes) -> list[bytes]:
    """The comments in a ticket event, each with `ticket_id`, `audit_id` and `created_at` in front where it has none.

    Raises NotAPage.
    """
    try:
        parent = _TICKET_EVENT.decode(event)
        return [_comment(child, parent) for child in map(bytes, parent.child_events) if _is_comment(child)]
    except UNREADABLE as error:
        raise NotAPage(f"a ticket event of the answer cannot be used: {error}") from None


def _is_comment(child: bytes) -> bool:
    kind = _CHILD.decode(child)
    return not {kind.event_type, kind.type}.isdisjoint(COMMENT_TYPES)


def _comment(child: bytes, parent: _TicketEvent) -> bytes:
    has = _CHILD.decode(child)
    added = {
        name: value
        for name, value, own in (
            ("ticket_id", parent.ticket_id, has.ticket_id),
            ("audit_id", parent.id, has.audit_id),
            ("created_at", parent.created_at, has.created_at),
        )
        if own is msgspec.UNSET and value is not None
    }
    rest = child.lstrip()[1:]
    if not added:
        return child
    separator = b"," if rest.strip() != b"}" else b""
    return msgspec.json.encode(added)[:-1] + separator + rest


def digest(record: bytes) -> bytes:
    """A digest of eight bytes, to notice a record that is received again."""
    return blake2b(record, digest_size=8).digest()


class _Error(msgspec.Struct):
    error: Any = None
    description: Any = None
    error_description: Any = None
    message: Any = None
    errors: Any = None


def error_text(body: bytes) -> str:
    """The message of an error, in any of the wire's shapes, on one line and shortened."""
    try:
        parsed = msgspec.json.decode(body, type=_Error)
    except UNREADABLE:
        return " ".join(body[:200].decode("utf-8", "replace").split())[:EXCERPT_CHARACTERS]
    parts: list[Any] = [parsed.error, parsed.description, parsed.error_description, parsed.message]
    if isinstance(parsed.error, dict):
        parts[0] = parsed.error.get("title")
        parts.append(parsed.error.get("message"))
    if isinstance(parsed.errors, list) and parsed.errors and isinstance(parsed.errors[0], dict):
        parts += [parsed.errors[0].get("code"), parsed.errors[0].get("title")]
    texts = dict.fromkeys(part for part in parts if isinstance(part, str) and part)
    return " ".join(": ".join(texts).split())[:300]
