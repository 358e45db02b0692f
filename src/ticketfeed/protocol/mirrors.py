"""A mirror: an account that is a copy of another one, its source, and takes its positions from there.

What is stored of it: where the walk through each stream of the source stands, who walks, and how it goes. All of it is
stored in one write together with the records of a page, so a walk that is ended at any instant goes on from there.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ticketfeed.protocol.errors import AccountIsMirror, BadRecord
from ticketfeed.protocol.model import NEW_ID_MAX, FeedState, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.records import RecordDraft, wire_second
from ticketfeed.protocol.request_budget import RequestBudget
from ticketfeed.protocol.rows import ChangeRow, TicketRow
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.protocol.watermark import copied_second

__all__ = [
    "FEED_KINDS",
    "LEASE_SECONDS",
    "LOCAL_ID_MIN",
    "Lease",
    "Mirror",
    "MirrorSettings",
    "MirrorStatus",
    "StreamState",
    "choose_record",
    "choose_ticket",
    "decode_mirror",
    "encode_mirror",
    "passed_second",
    "place_records",
]

# Users that only the mirror has, to bind credentials to, have ids from here on. A source never has: neither new nor
# loaded records get one beyond NEW_ID_MAX, and Zendesk's own are far smaller.
LOCAL_ID_MIN = NEW_ID_MAX + 1
# A stream of the source -> the kind of record whose feed it makes here, read up to the second that the stream has
# passed. Other kinds are only listed, or come with others.
FEED_KINDS = {
    "users": "users",
    "organizations": "organizations",
    "ticket_events": "audits",
    "ticket_metric_events": "ticket_metric_events",
}
# A lease that was not renewed for so long belongs to a process that has ended, or hangs. It is renewed several times
# in that, and a page takes less.
LEASE_SECONDS = 60.0


class StreamState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the walk through one stream is.

    `state`: where it goes on. `passed`: the newest second that it has wholly passed; readers here get no further.
    `has_ended`: whether the last page was the end of the stream. `is_copied`: whether the end was ever reached.
    `copied`: records that the source gave. `applied`: those of them that changed something here. `asked_at`: when the
    last page was asked for. `ended_at`: when the end of the stream was last reached.
    """

    state: dict[str, Any] = {}
    passed: int = 0
    has_ended: bool = False
    is_copied: bool = False
    copied: int = 0
    applied: int = 0
    pages: int = 0
    asked_at: float = 0
    ended_at: float | None = None


class MirrorSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operator changes while a mirror runs.

    `requests_per_minute`: 0 for no limit but the source's; None for what the source says, and 10 until it says so.
    `has_comments`: whether ticket events and metric events are read, too.
    """

    requests_per_minute: int | None = None
    is_paused: bool = False
    has_comments: bool = False


class MirrorStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it goes, for people. `state`: copying, following, waiting, paused or stopped. None: not known."""

    state: str = "stopped"
    reason: str | None = None
    behind_seconds: int | None = None
    behind_changes: int | None = None
    requests_used: int = 0
    eta_seconds: int | None = None
    last_error: str | None = None
    verified_at: int | None = None
    differences: int | None = None


class Lease(msgspec.Struct, frozen=True):
    """The process that walks. `owner`: random text, another one for each. Times are of the machine's clock."""

    owner: str
    host: str
    pid: int
    started_at: float
    renewed_at: float


class Mirror(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of a mirror.

    `source`: its address without secrets. `identity`: what the source says of its account, to notice another one.
    `streams`: by name. `closed_at`: when it was closed as an archive; nothing is copied any more. `is_accepted_anew`:
    its source is another one than before, or went back, and is read from its beginning; what it lacks is removed.
    """

    source: str
    identity: str = ""
    streams: dict[str, StreamState] = {}
    settings: MirrorSettings = MirrorSettings()
    status: MirrorStatus = MirrorStatus()
    budget: RequestBudget = RequestBudget()
    lease: Lease | None = None
    closed_at: int | None = None
    is_accepted_anew: bool = False

    def stream(self, name: str) -> StreamState:
        """The state of a stream, which may not have begun."""
        return self.streams.get(name, StreamState())

    def with_stream(self, name: str, state: StreamState) -> "Mirror":
        """The mirror with another state of a stream."""
        return msgspec.structs.replace(self, streams={**self.streams, name: state})

    def refusal(self) -> AccountIsMirror:
        """What every other write of the account is refused with."""
        closed_on = None if self.closed_at is None else wire_second(self.closed_at)[:10]
        return AccountIsMirror(self.source, closed_on)


encode_mirror = msgspec.json.Encoder(order="deterministic").encode
_DECODER = msgspec.json.Decoder(Mirror)


def decode_mirror(body: bytes) -> Mirror:
    """A stored mirror; keys that a newer release has added are left out."""
    return _DECODER.decode(body)


def choose_ticket(
    draft: TicketDraft,
    stored: ChangeRow | None,
    state: FeedState,
    *,
    overwrites: bool = False,
    is_archive: bool = False,
) -> TicketRow | None:
    """The row that a ticket of the source becomes here; None if what is stored stays.

    `stored`: what is stored of it. `state`: of the tickets, before the write. `overwrites`: whether one that is newer
    here is replaced. `is_archive`: whether one of the same second stays, which an exported file may have less of.
    """
    if stored is not None:
        is_newer = draft.generated_timestamp > stored.generated_timestamp
        if not is_newer and draft.body(stored.generated_timestamp) == stored.body:
            return None
        if not overwrites and draft.generated_timestamp < stored.generated_timestamp + is_archive:
            return None
    return draft.row_at(copied_second(state, draft.generated_timestamp))


def choose_record(
    draft: RecordDraft, stored: ChangeRow | None, state: FeedState, *, is_archive: bool = False
) -> RecordDraft | None:
    """The row that a record of the source becomes here; None if what is stored stays.

    `state`: of the feed of its kind, before the write. `is_archive`: whether a newer one stays. Raises BadRecord for an
    id that no source can have.
    """
    if draft.kind == "users" and draft.id >= LOCAL_ID_MIN:
        raise BadRecord(f"the id {draft.id} of a user is one of those that only a mirror's own users have")
    if stored is not None:
        if draft.body == stored.body and draft.generated_timestamp <= stored.generated_timestamp:
            return None
        if is_archive and draft.generated_timestamp < stored.generated_timestamp:
            return None
    return draft._replace(generated_timestamp=copied_second(state, draft.generated_timestamp))


def passed_second(end: int, *, has_ended: bool, holds_end: bool = True) -> int:
    """The newest second that a stream has wholly passed with a page that ended in the second `end`.

    More of that second may follow, except at the end of the stream: the source gives none that is still open.
    `holds_end`: whether any record of the page lies in it. After records of one second the time-based exports go on
    from the next one, of which nothing is known.
    """
    return end if has_ended and holds_end else end - 1


def place_records(drafts: Sequence[RecordDraft], after: Position, end: Position) -> list[RecordDraft]:
    """The records of a page of a stream, each with the second of its position at the source.

    The wire does not tell that of records; usually it is that of their last change, which the drafts carry. So it is
    taken to be if the page is in that order, begins after `after` and ends at `end`; the ids count where the stream has
    a cursor, and are -1 in `after` and 0 in `end` where it only has times. In any other page all get the second of its
    end: a reader that continues here may be given one of them twice, and misses none. One that goes back to the source
    from the middle of such a page may miss the rest of it; from any other place it misses none there either.
    """
    positions = [position_of(draft) for draft in drafts]
    ends = {end}
    if end.id == 0:
        positions = [Position(second, 0) for second, _ in positions]
        ends.add(Position(end.generated_timestamp - 1, 0))  # of a page of one second
        in_order = all(earlier <= later for earlier, later in pairwise(positions))
    else:
        in_order = all(earlier < later for earlier, later in pairwise(positions))
    if in_order and (not positions or (after < positions[0] and positions[-1] in ends)):
        return list(drafts)
    return [draft._replace(generated_timestamp=end.generated_timestamp) for draft in drafts]
