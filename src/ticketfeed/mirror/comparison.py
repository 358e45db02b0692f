"""Records of a source beside what a mirror holds of them: what is equal, and how a difference is told.

Records of the source are converted as the walk converts them (drafts.py), so what is equal is equal byte for byte. A
ticket that came late has a later generated_timestamp here than there, on purpose, and is no difference.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from ticketfeed.mirror.held import HeldRecord, Shown
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["Difference", "Draft", "compare", "is_shown_alike", "key_of"]

Draft = TicketDraft | RecordDraft
Key = tuple[str, int]
_SHOWN = msgspec.json.Decoder(Shown)


class Difference(NamedTuple):
    """`here`, `there`: None where it is missing. `name`: of the stream; metric sets, which come with tickets, are
    `ticket_metrics`."""

    name: str
    kind: str
    id: int
    here: HeldRecord | None
    there: Draft | None

    @property
    def key(self) -> Key:
        return self.kind, self.id

    def is_same(self, other: "Difference") -> bool:
        """Whether both sides are as they were then."""
        return self.here == other.here and _body(self.there) == _body(other.there)

    @property
    def needs_lag(self) -> bool:
        """Whether the source may have changed so that its exports do not show it yet."""
        if self.there is None:
            return True
        return isinstance(self.there, TicketDraft) and self.here is not None and self.here.second > _second(self.there)

    @property
    def ticket_id(self) -> int | None:
        """The ticket that it belongs to, if any."""
        body = self.here.body if self.here else _body(self.there)
        if self.kind in ("tickets", "ticket_metrics"):
            return self.id
        found = _SHOWN.decode(body).ticket_id if body else None
        return found if isinstance(found, int) else None

    def line(self) -> str:
        """Stream, id, here, there."""
        here = self.here.body if self.here else None
        return f"{self.name}\t{self.id}\t{describe(here)}\t{describe(_body(self.there))}"


def describe(body: bytes | None) -> str:
    """A version of a record, for people: when it last changed, its position, and a digest of its bytes."""
    if body is None:
        return "missing"
    shown = _SHOWN.decode(body)
    moment = shown.updated_at or shown.created_at or "-"
    position = f"@{shown.generated_timestamp}" if shown.generated_timestamp is not None else ""
    mark = "deleted " if is_deleted(shown) else ""
    return f"{mark}{moment}{position}#{blake2b(body, digest_size=4).hexdigest()}"


def compare(name: str, drafts: Iterable[Draft], held: Mapping[Key, HeldRecord]) -> list[Difference]:
    """What is missing here or in another state."""
    return [
        Difference(key[0] if key[0] == "ticket_metrics" else name, *key, held.get(key), draft)
        for draft in drafts
        if not _is_equal(draft, held.get(key := key_of(draft)))
    ]


def _is_equal(draft: Draft, held: HeldRecord | None) -> bool:
    if held is None:
        return False
    if isinstance(draft, TicketDraft):
        return held.second >= draft.generated_timestamp and held.body == draft.body(held.second)
    return held.body == draft.body


def is_shown_alike(there: Shown, held: HeldRecord) -> bool:
    """Whether a record that the source shows by its id is in the state that is held."""
    here = held.shown
    if there.generated_timestamp is not None and _number(there.generated_timestamp) > held.second > 0:
        return False
    return bool(there.updated_at == here.updated_at)


def is_deleted(shown: Shown) -> bool:
    """Whether a source that shows records by their ids may leave this one out."""
    return shown.status == "deleted" or shown.active is False or shown.deleted_at is not None


def key_of(draft: Draft) -> Key:
    return ("tickets" if isinstance(draft, TicketDraft) else draft.kind), draft.id


def _second(draft: Draft) -> int:
    return draft.generated_timestamp


def _body(draft: Draft | None) -> bytes | None:
    if draft is None:
        return None
    return draft.row.body if isinstance(draft, TicketDraft) else draft.body


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
