"""A consumer's output compared with the feed, ticket by ticket.

Programs write tickets in many layouts, so a ticket is compared by what the output has of it: its generated_timestamp,
which names one state; else its updated_at with its status and subject. A deleted ticket may be in the output as
deleted, or be absent.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.model import Position

__all__ = [
    "COMPARED_KEYS",
    "Output",
    "OutputCheck",
    "OutputDifferences",
    "OutputTicket",
    "parse_output_ticket",
    "parse_output_time",
]

# Of the ids that are listed; the rest are counted.
_IDS_MAX = 1000
# What programs call the column by which they mark a record as deleted.
_DELETION_MARKS = ("deleted", "is_deleted", "_deleted", "deleted_at", "_sdc_deleted_at", "_ab_cdc_deleted_at")
# Of a record, what is compared.
COMPARED_KEYS = frozenset({"id", "generated_timestamp", "updated_at", "status", "subject", *_DELETION_MARKS})
# A time beyond the year 5000, in seconds, is one in milliseconds.
_MILLISECONDS_MIN = 100_000_000_000
_DIGITS_MAX = 20


class OutputTicket(NamedTuple):
    """The last state of a ticket in an output, None for what it does not say. Times are Unix seconds."""

    generated_timestamp: int | None = None
    updated_at: int | None = None
    status: str | None = None
    subject: str | None = None
    is_deleted: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it can be compared at all."""
        return any(value is not None for value in (self.generated_timestamp, self.updated_at, self.status))


class Output(msgspec.Struct):
    """The tickets of an output by id. `torn`: what is no whole record, one line each; `torn_count`: how many."""

    tickets: dict[int, OutputTicket] = {}
    torn: list[str] = []
    torn_count: int = 0

    def add(self, place: str, id: int | None, ticket: OutputTicket) -> None:
        """Add a record; of several with one id the last counts."""
        if id is None or not ticket.is_whole:
            self.add_torn(f"{place}: no whole ticket")
        else:
            self.tickets[id] = ticket

    def add_torn(self, line: str) -> None:
        """Count what is no record."""
        self.torn_count += 1
        if len(self.torn) < 20:
            self.torn.append(line)


def parse_output_ticket(record: Mapping[str, Any]) -> tuple[int | None, OutputTicket]:
    """The id of a record, None if it has none, and the rest of it. Ids and numbers may be texts, times in any form."""
    status = _text(record.get("status"))
    marks = (record.get(name) for name in _DELETION_MARKS)
    ticket = OutputTicket(
        _number(record.get("generated_timestamp")),
        parse_output_time(record.get("updated_at")),
        status.lower() if status else None,
        _text(record.get("subject")),
        is_deleted=status == "deleted" or any(mark not in (None, False, "", "false", "False", 0) for mark in marks),
    )
    return _number(record.get("id")), ticket


def parse_output_time(value: Any) -> int | None:
    """Unix seconds of a time: a text as ISO 8601 has it, in UTC where it names no zone, a datetime, or a number."""
    if isinstance(value, str) and not value.strip().isdecimal():
        try:
            value = datetime.fromisoformat(value.strip().removesuffix(" UTC"))
        except ValueError:
            return None
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, date):
        return None
    number = _number(value)
    return number if number is None or number < _MILLISECONDS_MIN else number // 1000


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.removeprefix("-").isdecimal() and len(value) < _DIGITS_MAX else None
    if isinstance(value, float | Decimal):
        return int(value) if math.isfinite(value) and value == int(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


class OutputDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """`tickets`: in the output. `missing`: not in it, though the consumer must have them; `stale`: in it with another
    state or other values; `alive`: deleted in the feed, and not in the output; `unknown`: not in the feed. Each is the
    ids in order, the first 1,000 of as many as its count says.
    """

    tickets: int
    missing: tuple[int, ...] = ()
    missing_count: int = 0
    stale: tuple[int, ...] = ()
    stale_count: int = 0
    alive: tuple[int, ...] = ()
    alive_count: int = 0
    unknown: tuple[int, ...] = ()
    unknown_count: int = 0
    torn: tuple[str, ...] = ()
    torn_count: int = 0

    @property
    def is_none(self) -> bool:
        """Whether the output is right."""
        return not self.summary()

    def summary(self) -> str:
        """What is wrong, in one line; empty for nothing."""
        counts = (
            (self.missing_count, "missing"),
            (self.stale_count, "stale"),
            (self.alive_count, "deleted but still alive"),
            (self.unknown_count, "not in the feed"),
            (self.torn_count, "torn"),
        )
        found = ", ".join(f"{count:,} {words}" for count, words in counts if count)
        return f"in the output: {found}" if found else ""


class OutputCheck:
    """Compares an output with the tickets of the feed, which are added one by one, each once."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._unknown = set(output.tickets)
        self._missing: list[int] = []
        self._stale: list[int] = []
        self._alive: list[int] = []

    def add(
        self, position: Position, status: str, updated_at: int | None, subject: str | None, *, must_have: bool
    ) -> None:
        """Compare a ticket of the feed. `must_have`: whether the consumer must have this state of it."""
        self._unknown.discard(position.id)
        written = self._output.tickets.get(position.id)
        if not must_have:
            return
        if status == "deleted":
            if written is not None and not written.is_deleted:
                self._alive.append(position.id)
        elif written is None:
            self._missing.append(position.id)
        elif _is_stale(written, position.generated_timestamp, status, updated_at, subject):
            self._stale.append(position.id)

    def differences(self) -> OutputDifferences:
        """What was found."""
        return OutputDifferences(
            tickets=len(self._output.tickets),
            missing=_first(self._missing),
            missing_count=len(self._missing),
            stale=_first(self._stale),
            stale_count=len(self._stale),
            alive=_first(self._alive),
            alive_count=len(self._alive),
            unknown=_first(self._unknown),
            unknown_count=len(self._unknown),
            torn=tuple(self._output.torn),
            torn_count=self._output.torn_count,
        )


def _first(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(ids)[:_IDS_MAX])


def _is_stale(
    written: OutputTicket, generated_timestamp: int, status: str, updated_at: int | None, subject: str | None
) -> bool:
    if written.generated_timestamp is not None and written.generated_timestamp != generated_timestamp:
        return True
    pairs = ((written.updated_at, updated_at), (written.status, status), (written.subject, subject))
    return any(found is not None and found != right for found, right in pairs)
