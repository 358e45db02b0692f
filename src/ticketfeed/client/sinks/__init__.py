"""Targets of an export, one file a kind, one contract (contract.py): chosen by the target's ending."""

from collections.abc import Sequence
from pathlib import Path

from ticketfeed.client.sinks.contract import Batch, Checkpoint, Sink, SinkOptions
from ticketfeed.client.sinks.line_files import LineFiles
from ticketfeed.protocol.errors import BadInput

__all__ = ["Batch", "Checkpoint", "Sink", "SinkOptions", "open_sink"]

_ENDINGS = ".ndjson[.gz|.zst], .csv[.gz], .parquet, .duckdb, .sqlite, a folder/, - or singer:"
_LINES = {
    ".ndjson": ("ndjson", ""),
    ".ndjson.gz": ("ndjson", ".gz"),
    ".ndjson.zst": ("ndjson", ".zst"),
    ".csv": ("csv", ""),
    ".csv.gz": ("csv", ".gz"),
}


def open_sink(target: str, streams: Sequence[str], options: SinkOptions) -> Sink:
    """The sink of a target. Raises BadInput, in one line, for what it cannot do."""
    for ending, (kind, compression) in _LINES.items():
        if target.endswith(ending):
            return LineFiles.single(target, kind, compression, _only(streams, target), options)
    if target.endswith("/") or Path(target).is_dir():
        return LineFiles.in_folder(target, streams, options)
    raise BadInput(f"{target} is no target of an export; a target ends in {_ENDINGS}")


def _only(streams: Sequence[str], target: str) -> str:
    if len(streams) != 1:
        raise BadInput(f"{target} takes one stream, not {len(streams)}; use a folder/, .duckdb, .sqlite or singer:")
    return streams[0]
