"""What a target of an export must do: rows and checkpoint become durable together, and survive kill -9."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

__all__ = ["Batch", "Checkpoint", "ClosingSink", "Sink", "SinkOptions"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one stream in the source's order, each the exact bytes of one JSON object as received."""

    stream: str
    records: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a run has come, stored in the same step as the rows.

    `identity`: source, account, streams, filters of the run (compared on resume); `streams`: stream -> cursor state
    (JSON values); `totals`: counts and hash so far (JSON values).
    """

    identity: Mapping[str, Any]
    streams: Mapping[str, Any]
    totals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a target stores records. `format`: of a folder. `compact`: appending targets hold one line per id."""

    format: Literal["parquet", "ndjson"] = "parquet"
    custom_fields: Literal["json", "columns"] = "json"
    exclude_deleted: bool = False
    compact: bool = False


class Sink(Protocol):
    """One target. Context manager.

    Everything acknowledged by `write` survives kill -9; what was not is absent or is written again, never torn or
    doubled beyond the sink's kind (keyed: once by id; appending: no line twice after a resume, since what lies behind
    the last checkpoint is cut off when opened).
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        """The last checkpoint; None for a new target.

        Raises BadInput, with what to do in its message, for a target of another run or made by another program.
        """

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> Set[Any] | None:
        """Store rows and checkpoint; they become durable together.

        Returns those of the ids of tickets that the target held before; None where it cannot tell without reading all.
        """

    def finish(self, checkpoint: Checkpoint) -> None:
        """End a complete run: single-file targets become finished files, the manifest is written."""

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:
        """(id, generated_timestamp) of the latest state of every record held, in any order; for `export --verify`.

        Raises BadInput for a target that cannot be read back, as standard output.
        """

    def close(self) -> None:
        """Release files and locks. Idempotent."""


class ClosingSink(ABC):
    """A target that is closed at the end of its `with` statement."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """As Sink."""
