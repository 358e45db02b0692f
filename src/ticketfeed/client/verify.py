"""`--verify`: compare a target with its source: by hashes where that is ticketfeed, else by samples.

A ticket's position (second, id) names one state of it, so equal positions mean equal states. What has changed in the
source behind the target's cursor is no difference.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from ticketfeed.client.page_parser import NotAPage, parse_keys
from ticketfeed.client.session import Flow, Session
from ticketfeed.client.steps import Answer, Request
from ticketfeed.protocol.cursor import decode_cursor, encode_cursor
from ticketfeed.protocol.errors import SourceRefused
from ticketfeed.protocol.feed_hash import FeedHash
from ticketfeed.protocol.model import INT64_MAX, Position
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = ["Held", "Verdict", "held_by", "verify"]

BUCKETS = 1024
# A bucket with more tickets is narrowed down again; the source lists the ids of twice as many at most.
IDS = 5000
# A ticket that is being changed is nowhere until its second is over, so what differs is looked at twice.
CHANGE_SECONDS = 2.0
SAMPLE_REQUESTS, SAMPLE_IDS = 5, 100

T = TypeVar("T")

Positions = Callable[[], Iterator[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a target holds: its tickets up to `until`, from `parameters` on. `received`: count and hash of all records
    that it received, comparable where each ticket was received once."""

    positions: Positions
    until: Position
    parameters: dict[str, str]
    received: FeedHash


@dataclass(slots=True)
class Verdict:
    """`count`: tickets compared. `differences`: one line each. `changed`: in the source since, which is no fault."""

    count: int = 0
    changed: int = 0
    differences: list[str] = field(default_factory=list)
    how: str = ""


class _Bucket(msgspec.Struct):
    id_from: int
    id_to: int
    count: int
    hash: str
    positions_hash: str


class _Hashes(msgspec.Struct):
    count: int
    buckets: list[_Bucket]
    lowest_id: int | None = None
    highest_id: int | None = None
    ids: list[tuple[int, int]] = []


def verify(held: Held, session: Session) -> Flow[Verdict]:
    """Raises SourceError."""
    try:
        return (yield from _by_hash(held, session))
    except SourceRefused as error:
        if error.status != 404:
            raise
    return (yield from _by_samples(held, session))


def _by_hash(held: Held, session: Session) -> Flow[Verdict]:
    until = {"until": encode_cursor(held.until)}
    source = yield from _hashes(session, {**held.parameters, **until})
    mine, lowest, highest = FeedHash(), INT64_MAX, -1
    for id, second in held.positions():
        mine.add(id, second)
        lowest, highest = min(lowest, id), max(highest, id)
    positions = sum(int(bucket.positions_hash, 16) for bucket in source.buckets)  # of the one bucket, if any
    if (source.count, positions) == (mine.count, mine.total):
        verdict = Verdict(mine.count, how="count and positions agree")
        if held.received.count == mine.count:
            whole = sum(int(bucket.hash, 16) for bucket in source.buckets)
            if whole == held.received.total:
                verdict.how = "count, positions and bytes agree"
            else:
                verdict.differences.append("the bytes of some tickets differ from those that the target received")
        return verdict
    ends = [lowest, highest, *(end for end in (source.lowest_id, source.highest_id) if end is not None)]
    verdict = Verdict(mine.count, how="compared id by id")
    yield from _narrow(held, session, verdict, min(ends), max(ends) + 1)
    return verdict


def _narrow(held: Held, session: Session, verdict: Verdict, id_from: int, id_to: int) -> Flow[None]:
    """Compare bucket by bucket, and id by id where a bucket differs, with what the source has by now."""
    width = max(1, -(-(id_to - id_from) // BUCKETS))
    id_to = id_from + width * BUCKETS
    bounds = {"id_from": str(id_from), "id_to": str(id_to), "buckets": str(BUCKETS)}
    source = yield from _hashes(session, {**held.parameters, "until": encode_cursor(held.until), **bounds})
    theirs = {(bucket.id_from - id_from) // width: (bucket.count, bucket.positions_hash) for bucket in source.buckets}
    mine: dict[int, FeedHash] = {}
    for id, second in held.positions():
        if id_from <= id < id_to:
            mine.setdefault((id - id_from) // width, FeedHash()).add(id, second)
    ours = {number: (bucket.count, bucket.text()) for number, bucket in mine.items()}
    differing = sorted(number for number in {*theirs, *ours} if theirs.get(number) != ours.get(number))
    crowded = [number for number in differing if max(theirs.get(number, (0,))[0], ours.get(number, (0,))[0]) > IDS]
    for number in crowded:
        yield from _narrow(held, session, verdict, id_from + number * width, id_from + (number + 1) * width)
    targets: dict[int, dict[int, int]] = {number: {} for number in differing if number not in crowded}
    for id, second in held.positions():
        if (bucket_ := (id - id_from) // width) in targets:
            targets[bucket_][id] = second
    for number in targets:
        low = id_from + number * width
        part = {"id_from": str(low), "id_to": str(low + width), "ids": "true"}
        for last in (False, True):
            now = yield from _hashes(session, {**held.parameters, **part})
            found = Verdict()
            _compare(found, dict(now.ids), targets[number], held.until)
            if last or not found.differences:
                break
            yield from session.pause(CHANGE_SECONDS, "for changes that are being made")
        verdict.changed += found.changed
        verdict.differences += found.differences


def _compare(verdict: Verdict, source: dict[int, int], target: dict[int, int], until: Position) -> None:
    for id in sorted({*source, *target}):
        theirs, ours = source.get(id), target.get(id)
        if theirs == ours:
            continue
        if theirs is None:
            verdict.differences.append(f"ticket {id}: the target has it ({ours}), and the source does not")
        elif Position(theirs, id) > until and (ours is None or ours < theirs):
            verdict.changed += 1
        elif ours is None:
            verdict.differences.append(f"ticket {id}: missing ({theirs})")
        else:
            verdict.differences.append(f"ticket {id}: the target has its state of {ours}, the source that of {theirs}")


def _hashes(session: Session, parameters: dict[str, str]) -> Flow[_Hashes]:
    request = Request(f"/_ticketfeed/feed_hash?{urlencode(parameters)}")
    return (yield from session.ask(lambda _per_page: request, lambda answer: _parsed(answer, _Hashes)))


def _parsed(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except UNREADABLE as error:
        raise NotAPage(f"the answer cannot be used: {error}") from None


class _Tickets(msgspec.Struct):
    tickets: list[msgspec.Raw]


class _CountValue(msgspec.Struct):
    value: int


class _Count(msgspec.Struct):
    count: _CountValue


def _by_samples(held: Held, session: Session) -> Flow[Verdict]:
    """Some tickets by chance, a few requests' worth, and how many there are by the source's own count."""
    sample: list[tuple[int, int]] = []
    total = 0
    for total, each in enumerate(held.positions(), 1):
        if len(sample) < SAMPLE_REQUESTS * SAMPLE_IDS:
            sample.append(each)
        elif (place := random.randrange(total)) < len(sample):
            sample[place] = each
    counted = yield from session.ask(
        lambda _per_page: Request("/api/v2/tickets/count.json"), lambda answer: _parsed(answer, _Count)
    )
    verdict = Verdict(0)
    for begin in range(0, len(sample), SAMPLE_IDS):
        part = dict(sample[begin : begin + SAMPLE_IDS])
        shown = yield from _show_many(session, part)
        # The answer leaves out deleted tickets, so a missing ticket is no difference.
        keys = parse_keys([bytes(record) for record in shown.tickets])
        source = {key.id: key.second for key in keys if key.second}
        verdict.count += len(source)
        _compare(verdict, source, {id: part[id] for id in source if id in part}, held.until)
    verdict.how = (
        f"a sample of {len(sample):,} of {total:,} tickets; the source counts {counted.count.value:,}, without deleted "
        "ones and as of some minutes ago"
    )
    return verdict


def _show_many(session: Session, ids: Iterable[int]) -> Flow[_Tickets]:
    request = Request(f"/api/v2/tickets/show_many.json?ids={','.join(map(str, ids))}")
    return (yield from session.ask(lambda _per_page: request, lambda answer: _parsed(answer, _Tickets)))


def held_by(
    state: Mapping[str, Any], totals: Mapping[str, Any], identity: Mapping[str, Any], positions: Positions
) -> Held:
    """What a target holds, read from the tickets' entry of its checkpoint."""
    parameters: dict[str, str] = {}
    began = totals.get("from", {})
    if "cursor" in began:
        parameters["after"] = began["cursor"]
    else:
        parameters["since"] = str(began.get("start_time", identity["since"]))
    if identity["exclude_deleted"]:
        parameters["exclude_deleted"] = "true"
    until = decode_cursor(state["cursor"]) if "cursor" in state else Position(0, 0)
    if state.get("done"):
        until = Position(int(identity["until"]) - 1, INT64_MAX)
    received = FeedHash.parse(int(totals.get("records", 0)), str(totals.get("hash", "0")))
    return Held(positions, until, parameters, received)
