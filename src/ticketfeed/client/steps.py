"""The vocabulary between a flow and its driver: what a flow yields, and what it is sent back.

A driver sends every `Request`, sleeps every `Wait`, reads and writes the token file, and hands each page on. Every
reply carries the time, so that a flow needs no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, overload

import msgspec

__all__ = [
    "Answer",
    "ExportPage",
    "Failed",
    "Key",
    "ReadTokens",
    "ReleaseTokens",
    "RenewTokens",
    "Reply",
    "ReportAnswer",
    "Request",
    "Resumed",
    "Step",
    "TakeRequest",
    "Wait",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the source. `target`: path and query; the driver knows the host."""

    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Sleep. `reason` is for people, and fits behind "waiting: "."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class ReadTokens:
    """Lock the token file and read it; `Resumed.value` has its bytes. Others wait until `ReleaseTokens`."""


@dataclass(frozen=True, slots=True)
class RenewTokens:
    """Send a request that uses up the refresh token, and replace the token file, durably, by what `Answer` grants.

    Once it is sent, both must happen, whatever becomes of the export.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class ReleaseTokens:
    """Unlock the token file."""


@dataclass(frozen=True, slots=True)
class TakeRequest:
    """Count a request in the budget that several processes share. `Resumed.value`: (seconds, reason), where 0 seconds
    mean that it was counted and may be sent."""


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """Tell the same budget of an answer, whose headers have the source's own count."""

    answer: "Answer"


class Key(msgspec.Struct, frozen=True, gc=False):
    """The members of a ticket that an exporter itself needs, of any type that the source sends."""

    id: Any = None
    generated_timestamp: Any = None
    status: Any = None
    created_at: Any = None

    @property
    def second(self) -> int:
        """The second of the ticket's position; 0 where it has none."""
        value = self.generated_timestamp
        return int(value) if isinstance(value, int | float) else 0


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Records of one stream, and where to continue.

    `records`: each the exact bytes of one JSON object, in the source's order. `state`: JSON values; a later run that is
    started with it continues right behind this page. `end_of_stream`: there is nothing more for now. `keys`: for
    tickets, one for each record. `repeated`: records that were left out because the page before had the same bytes.
    `skipped`: why the source does not have this stream, where all that it has were meant.
    """

    stream: str
    records: Sequence[bytes]
    state: Mapping[str, Any]
    end_of_stream: bool
    keys: Sequence[Key] = ()
    repeated: int = 0
    skipped: str | None = None

    @overload
    def decode(self) -> list[dict[str, Any]]: ...

    @overload
    def decode(self, kind: type[T]) -> list[T]: ...

    def decode(self, kind: Any = dict[str, Any]) -> list[Any]:
        """The records as dictionaries, or as any type that msgspec can decode: a dataclass, TypedDict, Struct."""
        decoder = msgspec.json.Decoder(kind)
        return [decoder.decode(record) for record in self.records]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body decompressed. Header names are lower case. `at`: Unix seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that got no whole answer. `timed_out`: the source took too long, or answered with too much."""

    text: str
    timed_out: bool
    at: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The driver has carried out the step."""

    at: float
    value: Any = None


Step: TypeAlias = Request | Wait | ReadTokens | RenewTokens | ReleaseTokens | TakeRequest | ReportAnswer | ExportPage
Reply: TypeAlias = Answer | Failed | Resumed
