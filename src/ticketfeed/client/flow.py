"""The walk through an account's exports, without any input or output of its own.

`walk` is a generator: it yields steps (steps.py) and is sent what came of them. It decides everything: the first
request, where to continue, when a stream ends, when to wait and to give up. Drivers for threads and for asyncio, and
tests by hand, run the same walk. `read_page` is one turn of it, for a walk that changes between streams.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ticketfeed.client.page_parser import (
    CursorPage,
    ListPage,
    NotAPage,
    TimePage,
    comments_of,
    digest,
    parse_cursor_page,
    parse_keys,
    parse_list_page,
    parse_time_page,
    record_seconds,
)
from ticketfeed.client.session import Flow, Patience, Session
from ticketfeed.client.steps import Answer, ExportPage, Key, Request
from ticketfeed.client.streams import STREAMS, Stream
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.errors import InvalidCursor, SourceError, SourceRefused

__all__ = ["Plan", "read_page", "walk"]

LIST_PAGE_SIZE = 100
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run reads. `since`, `until`: Unix seconds; `until` is exclusive, and lists have neither.

    `optional`: lists that are skipped where the source does not have them. `follow_seconds`: poll for changes so often;
    None ends at the end of the streams.
    """

    streams: Sequence[str] = ("tickets",)
    since: int = 0
    until: int | None = None
    optional: Collection[str] = ()
    follow_seconds: float | None = None
    patience: Patience = field(default_factory=Patience)


def walk(plan: Plan, states: Mapping[str, Mapping[str, Any]], session: Session) -> Flow[None]:
    """All streams, one after the other, from their `states` on; a stream without one begins at `plan.since`."""
    states = dict(states)
    names = list(plan.streams)
    while True:
        for name in names:
            pages, passed = 0, None
            while not states.get(name, {}).get("done"):
                page = yield from read_page(plan, STREAMS[name], states.get(name, {}), session)
                session.resumed((yield page))
                states[name] = page.state
                if page.end_of_stream:
                    break
                # One state is remembered for ever longer, so that a circle of any length is met (Brent's algorithm).
                if page.state == passed:
                    raise SourceError(f"the source leads in a circle: {name} are where they were, and have not ended")
                pages += 1
                passed = page.state if pages & (pages - 1) == 0 else passed
        names = [name for name in names if STREAMS[name].way != "list" and not states[name].get("done")]
        if plan.follow_seconds is None or not names:
            return
        yield from session.pause(plan.follow_seconds, "for changes")


def read_page(plan: Plan, stream: Stream, state: Mapping[str, Any], session: Session) -> Flow[ExportPage]:
    """The next page of one stream, from its `state` on; an empty state is its beginning. Raises SourceError."""
    return (yield from _WAYS[stream.way](plan, stream, state, session))


State = Mapping[str, Any]
# A page, the digest of each of its records, and the comments in each of its ticket events.
_Timed = tuple[TimePage, list[bytes], dict[bytes, list[bytes]]]


def _read_by_cursor(plan: Plan, stream: Stream, state: State, session: Session) -> Flow[ExportPage]:
    state = state or {"start_time": plan.since}
    place = {name: state[name] for name in ("cursor", "start_time") if name in state}
    page, keys = yield from session.ask(
        _request_builder(stream, place), _cursor_parser(stream, state), start_time=state.get("start_time")
    )
    after: State = {"cursor": page.cursor} if page.cursor else state
    records, is_past = page.records, False
    if plan.until is not None:
        records, keys, is_past = _before(plan.until, stream, records, keys)
    if is_past:
        after = {**state, "done": True}
    return ExportPage(stream.name, records, after, page.end_of_stream or is_past, keys)


def _cursor_parser(stream: Stream, state: State) -> Callable[[Answer], tuple[CursorPage, list[Key]]]:
    def parse(answer: Answer) -> tuple[CursorPage, list[Key]]:
        page = parse_cursor_page(stream.key, answer.body)
        sent = state.get("cursor")
        if page.records and page.cursor is None:
            raise NotAPage("the answer has records and no cursor to continue from")
        if page.cursor is not None and _goes_back(sent, page.cursor):
            raise NotAPage(f"the cursor goes back: {page.cursor} came for {sent}")
        if not page.end_of_stream and page.cursor in (None, sent):
            raise NotAPage("the cursor does not advance, and end_of_stream is not true")
        return page, parse_keys(page.records) if stream.name == "tickets" else []

    return parse


def _goes_back(sent: str | None, received: str) -> bool:
    """Whether both can be read as positions, and the later one lies before the earlier."""
    try:
        return sent is not None and decode_cursor(received) < decode_cursor(sent)
    except InvalidCursor:
        return False


def _before(until: int, stream: Stream, records: list[bytes], keys: list[Key]) -> tuple[list[bytes], list[Key], bool]:
    """The records of before `until`, and whether there were others."""
    if keys:
        seconds: list[int | None] = [key.second for key in keys]
    else:
        seconds = [record_seconds(record, stream.time_key) if stream.time_key else None for record in records]
    taken = [place for place, second in enumerate(seconds) if second is None or second < until]
    kept_keys = [keys[place] for place in taken] if keys else []
    return [records[place] for place in taken], kept_keys, len(taken) < len(records)


def _read_by_time(plan: Plan, stream: Stream, state: State, session: Session) -> Flow[ExportPage]:
    """The time-based exports repeat the last second of each page; what has the same bytes is left out."""
    state = state or {"start_time": plan.since}
    seen = _unpack(state.get("seen", ""))
    start_time = int(state["start_time"])
    build = _request_builder(stream, {"start_time": start_time})
    parse = _time_parser(stream, start_time, seen)
    page, digests, comments = yield from session.ask(build, parse, start_time=start_time)
    fresh = [record for record, mark in zip(page.records, digests, strict=True) if mark not in seen]
    records, _, is_past = _before(plan.until, stream, fresh, []) if plan.until is not None else (fresh, [], False)
    if stream.name == "comments":
        records = [comment for event in records for comment in comments[event]]
    after: State = {
        "start_time": max(start_time, page.end_time or 0),
        "seen": b64encode(b"".join(digests)).decode("ascii") if digests else state.get("seen", ""),
    }
    if is_past:
        after = {**state, "done": True}
    # Without end_of_stream, the stream has ended when a page has nothing new.
    ended = is_past or (not fresh if page.end_of_stream is None else page.end_of_stream)
    return ExportPage(stream.name, records, after, ended, repeated=len(page.records) - len(fresh))


def _time_parser(stream: Stream, start_time: int, seen: set[bytes]) -> Callable[[Answer], _Timed]:
    def parse(answer: Answer) -> _Timed:
        page = parse_time_page(stream.key, answer.body)
        digests = [digest(record) for record in page.records]
        if page.records and page.end_time is None:
            raise NotAPage("the answer has records and no end_time to continue from")
        if page.end_of_stream is False and (page.end_time or 0) <= start_time and seen.issuperset(digests):
            raise NotAPage(f"the end_time does not advance beyond {start_time}, and end_of_stream is not true")
        comments = {event: comments_of(event) for event in page.records} if stream.name == "comments" else {}
        return page, digests, comments

    return parse


def _unpack(text: str) -> set[bytes]:
    packed = b64decode(text)
    return {packed[place : place + _DIGEST_BYTES] for place in range(0, len(packed), _DIGEST_BYTES)}


def _read_list(plan: Plan, stream: Stream, state: State, session: Session) -> Flow[ExportPage]:
    """The current list. Each run reads it from the beginning; an interrupted run resumes at its last page."""
    after: dict[str, str] = dict(state.get("after", {}))
    try:
        page = yield from session.ask(_list_builder(stream, after), _list_parser(stream, after))
    except SourceRefused as error:
        if stream.name not in plan.optional or error.status not in (403, 404):
            raise
        return ExportPage(stream.name, [], {}, True, skipped=str(error))
    return ExportPage(stream.name, page.records, {"after": page.after} if page.after else {}, page.after is None)


def _list_parser(stream: Stream, after: dict[str, str]) -> Callable[[Answer], ListPage]:
    def parse(answer: Answer) -> ListPage:
        page = parse_list_page(stream.key, answer.body)
        if page.after is not None and page.after == after:
            raise NotAPage("the list does not advance, and has_more is true")
        return page

    return parse


def _list_builder(stream: Stream, after: dict[str, str]) -> Callable[[int], Request]:
    size = {"per_page" if "page" in after else "page[size]": str(LIST_PAGE_SIZE)}
    return lambda _per_page: Request(f"{stream.path}?{urlencode({**after, **size, **dict(stream.parameters)})}")


def _request_builder(stream: Stream, place: Mapping[str, Any]) -> Callable[[int], Request]:
    def build(per_page: int) -> Request:
        return Request(f"{stream.path}?{urlencode([*place.items(), ('per_page', per_page), *stream.parameters])}")

    return build


_WAYS: dict[str, Callable[[Plan, Stream, State, Session], Flow[ExportPage]]] = {
    "cursor": _read_by_cursor,
    "time": _read_by_time,
    "list": _read_list,
}
