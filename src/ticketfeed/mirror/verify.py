"""A verification of a mirror: what the source has beside what is held here.

Pages of the exports are read again, from anywhere, and compared with the same stretch of the feed here; lists are
compared whole. What the page lacks is asked for by its id, where the source can show it. Whatever differs is looked at
again once the source has had the time to give what it may still hold back, and what it has given since the mirror was
last there is left out: only what differs both times, with neither side changed meanwhile, is a difference.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ticketfeed.client.flow import Plan, read_page
from ticketfeed.client.page_parser import NotAPage, record_seconds
from ticketfeed.client.session import Flow, Session
from ticketfeed.client.steps import Answer, ExportPage, Request
from ticketfeed.mirror.comparison import Difference, Draft, compare, is_deleted, is_shown_alike, key_of
from ticketfeed.mirror.drafts import kind_of, make_drafts, position_of_state
from ticketfeed.mirror.held import HeldRecord, HeldRecords, Shown
from ticketfeed.mirror.schedule import MirrorStream
from ticketfeed.mirror.source_check import count_records, parse_answer
from ticketfeed.protocol.errors import SourceRefused
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.request_body import UNREADABLE
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import Store

__all__ = ["LAG_SECONDS", "Look", "TooFarBehind", "Verifier", "Window"]

# A source gives a change a minute after it was made.
LAG_SECONDS = 65.0
# The ids that one request can name.
SHOWN_IDS = 100
# What a page takes at ten requests a minute.
PAGE_SECONDS = 6.0
# Where a source shows the records of an export by their ids.
_SHOWN_AT = {name: f"/api/v2/{name}/show_many.json" for name in ("tickets", "users", "organizations")}
_FAR_FUTURE = 2**40
# A mirror that is further behind is not verified.
TAIL_PAGES = 100
_ROWS = 1000

Ask = Callable[[Flow[Any]], Awaitable[Any]]


class TooFarBehind(Exception):
    """The source has changed so much since the mirror was there that what differs cannot be judged."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a stream: a page from `state` on, or all of a list.

    `given`: the ids of the page before, whose last second begins this one too, without its records. `expected`: ids of
    records that are held, by the second in which the source should have them, wherever they are here.
    """

    stream: MirrorStream
    state: Mapping[str, Any]
    given: frozenset[int] = frozenset()
    expected: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Look:
    """What was seen of a stream. `repeat`: looks at the same once more. `count`: records compared. `following`: where
    the next page begins; None at the end of the stream. `passed`: the last second that was wholly seen. `elsewhere`:
    ids of records that have to be looked at in another second of the source.
    """

    stream: MirrorStream
    at: float
    repeat: Callable[[], Awaitable["Look"]]
    count: int = 0
    differences: dict[tuple[str, int], Difference] = field(default_factory=dict)
    following: Window | None = None
    passed: int = 0
    elsewhere: dict[int, int] = field(default_factory=dict)

    def add(self, found: Iterable[Difference]) -> None:
        self.differences.update((each.key, each) for each in found)


class Verifier:
    """Looks at a source. `ask`: carries out a flow. `clock`: of the mirror."""

    def __init__(self, store: Store, account: Account, session: Session, ask: Ask, clock: Callable[[], float]) -> None:
        self._store, self._account, self._session, self._ask, self._clock = store, account, session, ask, clock
        self.held = HeldRecords(store, account)

    @property
    def requests(self) -> int:
        """How many were sent in its session."""
        return self._session.requests

    async def mirror(self) -> Mirror:
        """As it is stored."""
        mirror = await self._store.read_mirror(self._account)
        assert mirror is not None
        return mirror

    async def look(self, window: Window, until: Position | None = None) -> Look:
        """Compare a list, or a page and as many more as it takes to reach `until`. Raises SourceError."""
        if window.stream.is_list:
            return await self._look_at_list(window.stream)
        mirror, end, look = await self.mirror(), until, self._look(window.stream, lambda: self.look(window, end))
        place: Window | None = window
        while place is not None:
            page, drafts = await self._read(place)
            await self._compare_page(look, mirror, place, page, drafts)
            look.count += len(page.records)
            ids = frozenset(draft.id for draft in drafts)
            place = None if page.end_of_stream or page.skipped else Window(window.stream, page.state, ids)
            look.following = place
            reached = position_of_state(page.state, is_end=True)
            if until is None or reached is None or reached >= until:
                end = end or reached
                break
        return look

    def _look(self, stream: MirrorStream, repeat: Callable[[], Awaitable[Look]]) -> Look:
        return Look(stream, self._clock(), repeat)

    async def look_again(self, before: Look) -> list[Difference]:
        """What of it still differs, with both sides as they were. Raises SourceError."""
        if not before.differences:
            return []
        after = await before.repeat()
        pairs = ((old, after.differences.get(key)) for key, old in before.differences.items())
        return [new for old, new in pairs if new is not None and new.is_same(old)]

    async def settled(self, found: Sequence[Difference], streams: Sequence[MirrorStream]) -> list[Difference]:
        """Those that the source has not changed since the mirror was last there, and that are here as they were.

        Raises SourceError, TooFarBehind.
        """
        if not found:
            return []
        names = {each.name for each in found}
        tails: dict[str, set[int]] = {}
        for stream in streams:
            if not stream.is_list and (stream.name in names or stream.name == "tickets"):
                tails[stream.name] = await self._ids_after(stream)
        changed = tails.get("tickets", set())
        left = [each for each in found if each.id not in tails.get(each.name, ()) and each.ticket_id not in changed]
        held = await self.find(each.key for each in left)
        return [each for each in left if held.get(each.key) == each.here]

    async def sample(self, stream: MirrorStream) -> Look:
        """Look at some records by chance: asked for by their ids, or a page of them. Raises SourceError."""
        if stream.name not in _SHOWN_AT:
            return await self.look(await self.anywhere(stream))
        return await self._look_at(stream, await self.held.sample(kind_of(stream.name), SHOWN_IDS))

    async def anywhere(self, stream: MirrorStream) -> Window:
        """A page of an export that begins with a record by chance."""
        held = await self.held.sample(kind_of(stream.name), 1)
        return Window(stream, {"start_time": max(map(_happened_at, held.values()), default=0)})

    async def _look_at(self, stream: MirrorStream, ids: Iterable[int]) -> Look:
        asked = list(ids)
        look = self._look(stream, lambda: self._look_at(stream, asked))
        mirror, held = await self.mirror(), await self.held.find(kind_of(stream.name), asked)
        look.count = len(held)
        await self._compare_shown(look, mirror, stream, held)
        return look

    # Exports

    async def _read(self, window: Window) -> tuple[ExportPage, list[Draft]]:
        stream = window.stream
        page = await self._ask(read_page(Plan(optional=[stream.name]), stream.stream, window.state, self._session))
        return page, make_drafts(page, window.state, account=self._account.subdomain, now=int(self._clock())).drafts

    async def _compare_page(
        self, look: Look, mirror: Mirror, window: Window, page: ExportPage, drafts: list[Draft]
    ) -> None:
        stream, kind = window.stream, kind_of(window.stream.name)
        passed = mirror.stream(stream.name).passed
        there = {draft.id for draft in drafts if key_of(draft)[0] == kind}
        is_later = {each.id for each in drafts if isinstance(each, TicketDraft) and each.generated_timestamp > passed}
        drafts = [draft for draft in drafts if draft.id not in is_later]
        held = await self.find(map(key_of, drafts))
        look.add(compare(stream.name, drafts, held))
        if stream.name == "tickets":
            await self._compare_metric_sets(look, drafts)
        begin, end = position_of_state(window.state, is_end=False), position_of_state(page.state, is_end=True)
        if begin is None or end is None or page.skipped:
            return
        if page.end_of_stream:  # what came late is here behind the last that the source has
            end = Position(_FAR_FUTURE, 0)
        look.passed = end.generated_timestamp - 1
        extra = await self.held.find_between(stream.name, begin, end) - there - window.given
        if stream.name in _SHOWN_AT:
            await self._compare_shown(look, mirror, stream, await self.held.find(kind, extra))
            return
        expected = {id for id, second in window.expected.items() if second <= look.passed} - there
        for id, here in (await self.held.find(kind, extra | expected)).items():
            second = _happened_at(here)
            if begin.generated_timestamp <= second <= look.passed:
                look.add([Difference(stream.name, kind, id, here, None)])
            elif second < begin.generated_timestamp:
                look.elsewhere[id] = second

    async def _compare_metric_sets(self, look: Look, drafts: Sequence[Draft]) -> None:
        """Metric sets that are held of tickets without one, if the source gives any; deleted tickets have none."""
        given = {draft.id for draft in drafts if key_of(draft)[0] == "ticket_metrics"}
        bare = [
            draft.id
            for draft in drafts
            if isinstance(draft, TicketDraft) and draft.id not in given and draft.row.status != "deleted"
        ]
        if given and bare:
            for id, held in (await self.held.find("ticket_metrics", bare)).items():
                look.add([Difference("ticket_metrics", "ticket_metrics", id, held, None)])

    async def _compare_shown(
        self, look: Look, mirror: Mirror, stream: MirrorStream, held: Mapping[int, HeldRecord]
    ) -> None:
        """Records that are held, and were not seen where they are here."""
        kind, passed = kind_of(stream.name), mirror.stream(stream.name).passed
        shown = await self._show(stream, list(held))
        for id, here in held.items():
            there = shown.get(id)
            if there is None:
                if not is_deleted(here.shown):
                    look.add([Difference(stream.name, kind, id, here, None)])
            elif not is_shown_alike(there, here) and 0 < (second := _second_of(there)) <= passed:
                look.elsewhere[id] = second

    async def _show(self, stream: MirrorStream, ids: Sequence[int]) -> dict[int, Shown]:
        path, found = _SHOWN_AT[stream.name], dict[int, Shown]()
        for begin in range(0, len(ids), SHOWN_IDS):
            part = ",".join(map(str, ids[begin : begin + SHOWN_IDS]))
            found.update(await self._ask(_show_many(self._session, f"{path}?ids={part}", stream.stream.key)))
        return found

    async def _ids_after(self, stream: MirrorStream) -> set[int]:
        ids: set[int] = set()
        place = Window(stream, (await self.mirror()).stream(stream.name).state)
        for _ in range(TAIL_PAGES):
            page, drafts = await self._read(place)
            ids.update(draft.id for draft in drafts)
            if page.end_of_stream:
                return ids
            place = Window(stream, page.state)
        raise TooFarBehind(f"the mirror is more than {TAIL_PAGES} pages of {stream.name} behind its source")

    # Lists

    async def _look_at_list(self, stream: MirrorStream) -> Look:
        look, kind = self._look(stream, lambda: self._look_at_list(stream)), kind_of(stream.name)
        walked = (await self.mirror()).stream(stream.name)
        read_at = (walked.ended_at or 0.0) - walked.pages * PAGE_SECONDS
        there: set[int] = set()
        state: Mapping[str, Any] = {}
        while True:
            page, drafts = await self._read(Window(stream, state))
            if page.skipped:
                return self._look(stream, look.repeat)
            known = [draft for draft in drafts if _changed_at(draft) <= read_at]
            look.add(compare(stream.name, known, await self.find(map(key_of, known))))
            there.update(draft.id for draft in drafts)
            if page.end_of_stream:
                break
            state = page.state
        look.count = len(there)
        extra = set(await self.held.list_ids(kind)) - there
        held = await self.held.find(kind, extra)
        look.add(Difference(stream.name, kind, id, here, None) for id, here in held.items())
        return look

    async def find(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], HeldRecord]:
        """What is held of these."""
        by_kind: dict[str, list[int]] = {}
        for kind, id in keys:
            by_kind.setdefault(kind, []).append(id)
        return {
            (kind, id): held for kind, ids in by_kind.items() for id, held in (await self.held.find(kind, ids)).items()
        }

    async def look_at_bare_metric_sets(self, tickets: MirrorStream) -> Look:
        """Metric sets that are held of tickets that are not."""
        look = self._look(tickets, lambda: self.look_at_bare_metric_sets(tickets))
        ids = await self.held.list_ids("ticket_metrics")
        for begin in range(0, len(ids), _ROWS):  # some at a time: the tickets may not fit in memory
            part = ids[begin : begin + _ROWS]
            bare = set(part) - (await self.held.find("tickets", part)).keys()
            found = await self.held.find("ticket_metrics", bare)
            look.add(Difference("ticket_metrics", "ticket_metrics", id, here, None) for id, here in found.items())
        return look

    async def count(self, kind: str) -> int | None:
        """How many the source counts, as of some minutes ago; None if it does not say. Raises SourceError."""
        try:
            count: int = await self._ask(count_records(self._session, kind))
        except SourceRefused:
            return None
        return count


def _show_many(session: Session, target: str, key: str) -> Flow[dict[int, Shown]]:
    def parse(answer: Answer) -> dict[int, Shown]:
        found = parse_answer(answer, dict[str, msgspec.Raw]).get(key)
        if found is None:
            raise NotAPage(f"the answer has no {key}")
        try:
            return {shown.id: shown for shown in msgspec.json.decode(found, type=list[Shown])}
        except UNREADABLE as error:
            raise NotAPage(f"the answer cannot be used: {error}") from None

    return (yield from session.ask(lambda _per_page: Request(target), parse))


def _changed_at(draft: Draft) -> int:
    """When a record of a list last changed, by its own times; 0 where it has none."""
    body = draft.row.body if isinstance(draft, TicketDraft) else draft.body
    return record_seconds(body, "updated_at") or record_seconds(body, "created_at") or 0


def _second_of(shown: Shown) -> int:
    """The second since which the source's export gives a record in the state that is shown; 0 where it is not told."""
    if isinstance(shown.generated_timestamp, int):
        return shown.generated_timestamp
    return record_seconds(msgspec.json.encode(shown), "updated_at") or 0


def _happened_at(held: HeldRecord) -> int:
    """Where the source has a record, as far as that tells: an audit or metric event has the second in which it
    happened. 0 if it does not say."""
    times = (record_seconds(held.body, key) for key in ("updated_at", "created_at", "time"))
    return held.second or next((time for time in times if time), 0)
