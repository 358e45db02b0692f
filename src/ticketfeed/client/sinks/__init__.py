"""Targets of an export, one file a kind, one contract (contract.py): chosen by the target's ending."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticketfeed.client.sinks.contract import Batch, Checkpoint, Sink, SinkOptions
from ticketfeed.client.sinks.durable import translated
from ticketfeed.client.sinks.line_files import LineFiles
from ticketfeed.client.sinks.streamed import NdjsonOutput, SingerOutput
from ticketfeed.protocol.errors import BadInput

__all__ = ["Batch", "Checkpoint", "Sink", "SinkOptions", "is_begun", "open_sink", "takes_tables"]

_ENDINGS = ".ndjson[.gz|.zst], .csv[.gz], .parquet, .duckdb or .sqlite; or it is a folder/, - or singer:"
_LINES = {
    ".ndjson": ("ndjson", ""),
    ".ndjson.gz": ("ndjson", ".gz"),
    ".ndjson.zst": ("ndjson", ".zst"),
    ".csv": ("csv", ""),
    ".csv.gz": ("csv", ".gz"),
}
_SEVERAL = "a folder/, .duckdb, .sqlite or singer:"
_WITH_COLUMNS = ".parquet, a folder/, .duckdb or .sqlite"


def open_sink(target: str, streams: Sequence[str], options: SinkOptions) -> Sink:
    """The sink of a target, not opened yet. Raises BadInput for a target or options that do not go together."""
    if not target:
        raise BadInput("the name of the target is empty")
    folder = target.endswith("/") or Path(target).is_dir()
    if options.format != "parquet" and not folder:
        raise BadInput(f"--format {options.format} is for a folder/, not for {target}")
    if target == "-":
        _refuse(target, options, compact=True, columns=True)
        return NdjsonOutput([_only(streams, target)], options, sys.stdout.buffer)
    if target == "singer:":
        _refuse(target, options, compact=True, columns=True)
        return SingerOutput(streams, options, sys.stdout.buffer)
    if folder and options.format == "ndjson":
        _refuse(target, options, columns=True)
        return LineFiles.in_folder(target, streams, options)
    for ending, (kind, compression) in _LINES.items():
        if target.endswith(ending) and not folder:
            _refuse(target, options, columns=True)
            if compression == ".zst":
                with _extra(target):
                    import zstandard  # noqa: F401 # needed at the first write; reported before anything is read
            return LineFiles.single(target, kind, compression, _only(streams, target), options)
    with _extra(target):
        return _keyed(target, streams, options, folder)


def takes_tables(target: str) -> bool:
    """Whether a target holds several streams, each as a table with columns of its own."""
    return target.endswith(("/", ".duckdb", ".sqlite")) or Path(target).is_dir()


def is_begun(target: str) -> bool:
    """Whether there is anything that a run must continue or refuse. Raises TargetError where nothing can be created."""
    if target in ("-", "singer:"):
        return False
    path = Path(target).absolute()
    with translated(target):
        if path.is_dir() and any(path.iterdir()):
            return True
        manifest = path.parent / f"{path.name}.manifest.json"
        if any(file.is_file() and file.stat().st_size for file in (path, manifest)):
            return True
        folder = path if path.is_dir() else path.parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "", str(folder))
    return False


def _keyed(target: str, streams: Sequence[str], options: SinkOptions, folder: bool) -> Sink:
    """Targets that hold each record once. Their libraries take long to load, so they are loaded for them alone."""
    _refuse(target, options, compact=True)
    # Arrow's own allocator keeps what is freed for later: 40 MiB in an export. It is chosen when Arrow is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if folder:
        from ticketfeed.client.sinks.parquet import ParquetFolder

        return ParquetFolder(target, streams, options)
    if target.endswith(".parquet"):
        from ticketfeed.client.sinks.parquet import ParquetFile

        return ParquetFile(target, _only(streams, target), options)
    if target.endswith(".duckdb"):
        from ticketfeed.client.sinks.duckdb import DuckdbSink

        return DuckdbSink(target, streams, options)
    if target.endswith(".sqlite"):
        from ticketfeed.client.sinks.sqlite import SqliteSink

        return SqliteSink(target, streams, options)
    raise BadInput(f"{target} is no target of an export: its name ends in {_ENDINGS}")


@contextlib.contextmanager
def _extra(target: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadInput(f"{target} needs {error.name}: pip install 'ticketfeed[export]'") from None


def _only(streams: Sequence[str], target: str) -> str:
    if len(streams) != 1:
        raise BadInput(f"{target} takes one stream, not {len(streams)}; several go into {_SEVERAL}")
    return streams[0]


def _refuse(target: str, options: SinkOptions, *, compact: bool = False, columns: bool = False) -> None:
    """A parameter is used, or refused by its name."""
    if compact and options.compact:
        raise BadInput(f"--compact is for files of lines; {target} is none, or holds each record once already")
    if columns and options.custom_fields == "columns":
        raise BadInput(f"--custom-fields columns needs {_WITH_COLUMNS}: {target} cannot gain a column once it has rows")
