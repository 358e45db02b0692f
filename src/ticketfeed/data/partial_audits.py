"""Audits made of comments or ticket events: they add to what is known of a ticket, and replace nothing.

The same change may come as an audit, as a ticket event and as a comment, in any order. So these wait until all other
records of a load are stored; then an audit that exists only gets the events that it lacks.
"""

import struct
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.audits import AUDIT_IDS
from ticketfeed.protocol.records import RecordDraft, encode, parse_record, split_record
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["PartialAudits"]

_MEMORY_BYTES_MAX = 16 * 1024 * 1024
_CHUNK = 250
_LENGTH = struct.Struct("<Q")


class _Event(msgspec.Struct):
    id: int | None = None


class _Audit(msgspec.Struct):
    id: int
    ticket_id: int
    events: list[_Event] | None = None


_AUDIT = msgspec.json.Decoder(_Audit)
_EVENTS = msgspec.json.Decoder(list[Raw] | None)


class PartialAudits:
    """The partial audits of one load, on disk once they are many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_MEMORY_BYTES_MAX)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "PartialAudits":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, draft: RecordDraft) -> None:
        """Keep an audit until `store`."""
        self._file.write(_LENGTH.pack(len(draft.body)) + draft.body)

    def store(self, write: WriteTransaction, account: str, now: int) -> None:
        """Store what they say beyond the audits that exist."""
        self._file.seek(0)
        while chunk := list(self._bodies(_CHUNK)):
            drafts = [parse_record("audits", body, account=account, now=now) for body in _merged(write, chunk)]
            write.put_records(drafts)

    def _bodies(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            length = self._file.read(_LENGTH.size)
            if not length:
                return
            yield self._file.read(_LENGTH.unpack(length)[0])


def _merged(write: WriteTransaction, bodies: Sequence[bytes]) -> list[bytes]:
    """The audits to store, each once."""
    audits = [_AUDIT.decode(body) for body in bodies]
    known = write.find_records("audits", sorted({audit.id for audit in audits}))
    changed: dict[int, bytes] = {}
    for body, audit in zip(bodies, audits, strict=True):
        existing = known.get(audit.id)
        if existing is not None and _AUDIT.decode(existing).ticket_id != audit.ticket_id:
            body, existing = _renumbered(write, body, audit, changed)
        merged = body if existing is None else _with_events(existing, body)
        if merged is not None:
            id = _AUDIT.decode(merged).id
            known[id] = changed[id] = merged
    return list(changed.values())


def _with_events(existing: bytes, body: bytes) -> bytes | None:
    """The existing audit with the events that only the other has; None if there are none."""
    ids = {event.id for event in _AUDIT.decode(existing).events or ()} | {None}
    new = [raw for raw, event in _events(body) if event.id not in ids]
    if not new:
        return None
    values = split_record(existing)
    return encode({**values, "events": [raw for raw, _ in _events(existing)] + new})


def _events(body: bytes) -> list[tuple[Raw, _Event]]:
    raw = _EVENTS.decode(split_record(body).get("events", Raw(b"[]"))) or []
    return list(zip(raw, _AUDIT.decode(body).events or (), strict=True))


def _renumbered(
    write: WriteTransaction, body: bytes, audit: _Audit, changed: dict[int, bytes]
) -> tuple[bytes, bytes | None]:
    """An audit whose id is that of another ticket's: the one that was stored for it before, or one with a new id.

    Files that number the comments of each ticket from 1 have such ids.
    """
    others: list[Any] = [*write.find_of_ticket("audits", audit.ticket_id), *changed.values()]
    wanted = {event.id for event in audit.events or ()} - {None}
    for other in others:
        found = _AUDIT.decode(other)
        if found.ticket_id == audit.ticket_id and wanted & {event.id for event in found.events or ()}:
            return body, other
    newest = max(write.next_id("audits"), *changed, 1)
    id = (newest // AUDIT_IDS + 1) * AUDIT_IDS
    return encode({**split_record(body), "id": id}), None
