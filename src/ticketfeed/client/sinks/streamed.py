"""Targets that are a pipe: lines on standard output, as NDJSON or as messages of Singer.

Output that has been written cannot be truncated or read again, so a run begins without a checkpoint. For Singer, the
STATE messages hold it, for `--resume-from`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec

from ticketfeed.client.sinks.columns import Kind
from ticketfeed.client.sinks.contract import Batch, Checkpoint, ClosingSink, SinkOptions
from ticketfeed.client.sinks.durable import translated
from ticketfeed.client.sinks.lines import NdjsonLines
from ticketfeed.client.sinks.rows import StreamRows, is_deleted
from ticketfeed.protocol.errors import BadInput

__all__ = ["NdjsonOutput", "SingerOutput"]

_TYPES: dict[Kind, dict[str, Any]] = {
    **{key: {"type": ["null", "string"]} for key in (Kind.TEXT, Kind.JSON)},
    Kind.INTEGER: {"type": ["null", "integer"]},
    Kind.BOOLEAN: {"type": ["null", "boolean"]},
    Kind.TIME: {"type": ["null", "string"], "format": "date-time"},
    Kind.INTEGERS: {"type": ["null", "array"], "items": {"type": "integer"}},
    Kind.TEXTS: {"type": ["null", "array"], "items": {"type": "string"}},
}


class _Output(ClosingSink):
    """What both have in common. Writing raises BrokenPipeError when nobody reads any more."""

    def __init__(self, streams: Sequence[str], options: SinkOptions, output: BinaryIO) -> None:
        self._streams, self._options, self._output = streams, options, output

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:  # noqa: ARG002 # nothing to compare it with
        return None

    def _wanted(self, batch: Batch) -> Sequence[bytes]:
        if not self._options.exclude_deleted:
            return batch.records
        return [record for record in batch.records if not is_deleted(batch.stream, record)]

    def _put(self, data: bytes) -> None:
        with translated("standard output"):
            self._output.write(data)
            self._output.flush()

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:  # noqa: ARG002 # none can be
        raise BadInput("what went to standard output cannot be read back; export to a file to verify it")

    def close(self) -> None:
        """The output belongs to the process."""


class NdjsonOutput(_Output):
    """One stream, the bytes of each record as they came."""

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> None:  # noqa: ARG002
        for batch in batches:
            records = self._wanted(batch)
            if records:
                self._put(NdjsonLines(batch.stream).encode(records))

    def finish(self, checkpoint: Checkpoint) -> None:
        """Nothing is left to be done."""


class SingerOutput(_Output):
    """SCHEMA once a stream, RECORD messages with the columns of every target, STATE behind those that it covers."""

    def __init__(self, streams: Sequence[str], options: SinkOptions, output: BinaryIO) -> None:
        super().__init__(streams, options, output)
        self._rows = {stream: StreamRows(stream, options) for stream in streams}

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        schemas = [self._schema(rows) for rows in self._rows.values()]
        self._put(b"".join(map(_line, schemas)))
        return super().open(identity)

    @staticmethod
    def _schema(rows: StreamRows) -> dict[str, Any]:
        properties = {column.name: _TYPES[column.kind] for column in rows.columns}
        return {
            "type": "SCHEMA",
            "stream": rows.stream,
            "schema": {"type": "object", "properties": properties},
            "key_properties": [rows.key.name],
        }

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> None:
        lines = []
        for batch in batches:
            rows = self._rows[batch.stream]
            for row in rows.rows(self._wanted(batch)):
                record = {column.name: value for column, value in zip(rows.columns, row, strict=True)}
                lines.append(_line({"type": "RECORD", "stream": batch.stream, "record": record}))
        value = {
            "bookmarks": checkpoint.streams,
            "ticketfeed": {"identity": checkpoint.identity, "totals": checkpoint.totals},
        }
        lines.append(_line({"type": "STATE", "value": value}))
        self._put(b"".join(lines))

    def finish(self, checkpoint: Checkpoint) -> None:
        self.write((), checkpoint)


def _line(message: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"
