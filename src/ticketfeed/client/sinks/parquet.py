"""Parquet: a folder of parts, or one file.

Both grow in the same way. A write goes to a journal (journal.py). A journal that is large enough becomes a part in a
work folder (parts.py), and the manifest is replaced by one that names the new part and a new journal. When the command
ends, what is in the work folder is published: rows that are superseded leave the older parts, so that every id is there
once. Each step is prepared in a temporary file and takes effect with one rename, so a crash leaves the state
before or after it; `open` removes what belongs to neither.
"""

import contextlib
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ticketfeed.atomic_file import sync
from ticketfeed.client.sinks.arrow import arrow_batch, chunks
from ticketfeed.client.sinks.contract import Batch, Checkpoint, SinkOptions
from ticketfeed.client.sinks.durable import is_unused, lock_folder, translated
from ticketfeed.client.sinks.journal import Journal
from ticketfeed.client.sinks.manifest import Manifest, layout_of
from ticketfeed.client.sinks.parts import (
    PART_ROWS,
    Part,
    PartWriter,
    StoredPart,
    alive_rows,
    copy_rows,
    positions_of,
    read_part,
    with_columns,
)
from ticketfeed.client.sinks.rows import Key, StreamRows
from ticketfeed.protocol.errors import BadInput, TargetError

__all__ = ["ParquetFile", "ParquetFolder"]

# Parts with fewer rows are joined.
_SMALL_ROWS = PART_ROWS // 4
_JOURNAL_BYTES_MAX = 256_000_000
_METADATA = b"ticketfeed"

_Parts = dict[str, list[StoredPart]]


class _ParquetSink(ABC):
    """What both have in common: everything but how the parts of the work folder get into the target."""

    def __init__(
        self, target: str, kind: str, streams: Sequence[str], options: SinkOptions, work: Path, manifest: Path
    ) -> None:
        self._target, self._streams, self._options = target, streams, options
        self._layout = layout_of(kind, options)
        self._work, self._manifest_path = work, manifest
        self._rows: dict[str, StreamRows] = {}
        self._locks = contextlib.ExitStack()
        self._journal: Journal | None = None
        self._manifest: Manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except TargetError:
            if error is None:
                raise
            # The first error is the cause; nothing is lost, since the journal remains for the next run.

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        wanted = Manifest.new(self._layout, identity)
        with translated(self._target):
            self._locks.callback(os.close, self._lock())
            held = Manifest.load(self._manifest_path, self._target)
            self._manifest = self._checked(held, wanted)
            self._work.mkdir(exist_ok=True)
            self._tidy()
            self._journal = Journal(self._journal_path)
            self._journal.open(identity)
        fields = self._journal.custom_fields or self._manifest.details.get("custom_fields")
        # Deleted tickets stay in the work folder, where they supersede what came before.
        options = SinkOptions(custom_fields=self._options.custom_fields)
        self._rows = {stream: StreamRows(stream, options, fields) for stream in self._streams}
        return self._journal.checkpoint or self._manifest.checkpoint

    @abstractmethod
    def _lock(self) -> int:
        """The descriptor of a folder that this run has locked."""

    @abstractmethod
    def _checked(self, held: Manifest | None, wanted: Manifest) -> Manifest:
        """The stored manifest, to resume from. Raises BadInput for a target of another run, or not of ours."""

    @abstractmethod
    def _publish(self) -> None:
        """Bring the parts of the work folder into the target."""

    @abstractmethod
    def _published(self, stream: str, file: str) -> Path:
        """Where a published part is."""

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> None:
        assert self._journal
        with translated(self._target):
            made = [
                (batch.stream, self._batch(self._rows[batch.stream], records))
                for batch in batches
                for records in chunks(batch.records)
            ]
            self._journal.append(made, checkpoint, self._fields())
            if self._journal.rows >= PART_ROWS or self._journal.size >= _JOURNAL_BYTES_MAX:
                self._flush()

    @staticmethod
    def _batch(rows: StreamRows, records: Sequence[bytes]) -> pa.RecordBatch:
        latest = [row for row in rows.latest(records).values() if row is not None]
        return arrow_batch(rows.columns, latest)

    def _fields(self) -> dict[str, str]:
        return {name: kind for rows in self._rows.values() for name, kind in rows.fields.items()}

    def _flush(self) -> None:
        """Make parts of the journal, and begin a new one."""
        journal, work = self._journal, self._parts("work")
        assert journal
        for stream, parts in work.items():
            parts += self._part_of(stream, journal)
        number = self._manifest.details.get("journal", 0) + 1
        self._store(journal.checkpoint, journal=number, work=_spell(work), custom_fields=self._fields())
        journal.close()
        self._journal = Journal(self._journal_path)
        journal.path.unlink()

    def _part_of(self, stream: str, journal: Journal) -> list[StoredPart]:
        rows = self._rows[stream]
        last: dict[Key, int] = {}
        count = 0
        for batch in journal.batches(stream):
            last.update((key, count + number) for number, key in enumerate(batch.column(rows.key.name).to_pylist()))
            count += batch.num_rows
        wanted = bytearray(count)
        for number in last.values():
            wanted[number] = True
        mask, start = pa.array(wanted, pa.uint8()).cast(pa.bool_()), 0
        writer = self._writer(rows)
        for batch in journal.batches(stream):
            current, start = mask.slice(start, batch.num_rows), start + batch.num_rows
            writer.write(with_columns(batch.filter(current), rows.columns))
        writer.close()
        return writer.parts

    def _writer(self, rows: StreamRows) -> PartWriter:
        folder = self._work / rows.stream

        def name() -> Path:
            number = self._manifest.details.get("next", 1)
            self._manifest = self._manifest.at(self._manifest.checkpoint, next=number + 1)
            folder.mkdir(exist_ok=True)
            return folder / f"part-{number:05d}.parquet"

        return PartWriter(rows, name, PART_ROWS)

    def finish(self, checkpoint: Checkpoint) -> None:
        self.write((), checkpoint)
        self._end()

    def _end(self) -> None:
        """Bring everything into the target."""
        with translated(self._target):
            if self._journal and self._journal.checkpoint:
                self._flush()
            if self._manifest.checkpoint and (any(self._parts("work").values()) or not self._is_there()):
                self._publish()

    def _is_there(self) -> bool:
        return True

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:
        self._end()
        for part in self._parts("published")[stream]:
            yield from positions_of(part.path)

    def close(self) -> None:
        journal, self._journal = self._journal, None
        try:
            if journal:
                self._journal = journal
                self._end()
                self._journal.close()
                self._journal.path.unlink()
        finally:
            if self._journal:
                self._journal.close()
            self._journal = None
            for folder in (*(self._work / stream for stream in self._streams), self._work):
                with contextlib.suppress(OSError):  # not empty: the next run resumes from it
                    folder.rmdir()
            self._locks.close()

    # The state: what the manifest names is there, and what is there is named.

    @property
    def _journal_path(self) -> Path:
        return self._work / f"journal-{self._manifest.details.get('journal', 0)}"

    def _parts(self, which: str) -> _Parts:
        found: _Parts = {}
        for stream in self._streams:
            parts = [Part(**part) for part in self._manifest.details.get(which, {}).get(stream, ())]
            found[stream] = [StoredPart(part, self._path(which, stream, part.file)) for part in parts]
        return found

    def _path(self, which: str, stream: str, file: str) -> Path:
        return self._published(stream, file) if which == "published" else self._work / stream / file

    def _store(self, checkpoint: Checkpoint | None, **details: Any) -> None:
        self._manifest = self._manifest.at(checkpoint, **details)
        self._manifest.store(self._manifest_path)

    def _tidy(self) -> None:
        """Remove from the work folder what the manifest does not name: a crash left it."""
        named = {part.path for parts in self._parts("work").values() for part in parts} | {self._journal_path}
        for path in self._work.rglob("*"):
            if path.is_file() and path not in named:
                path.unlink()


class ParquetFile(_ParquetSink):
    """One file. Its metadata hold a token, which its manifest repeats, so that the two can be matched."""

    def __init__(self, target: str, stream: str, options: SinkOptions) -> None:
        self._path_of_target = path = Path(target)
        work, manifest = path.with_name(f"{path.name}.work"), path.with_name(f"{path.name}.manifest.json")
        super().__init__(target, "parquet", [stream], options, work, manifest)

    def _lock(self) -> int:
        return lock_folder(self._work, self._target)

    def _published(self, stream: str, file: str) -> Path:  # noqa: ARG002 # there is one
        return self._path_of_target

    def _is_there(self) -> bool:
        return self._path_of_target.exists()

    def _checked(self, held: Manifest | None, wanted: Manifest) -> Manifest:
        inside = self._manifest_inside()
        if held is None:
            held = wanted if inside is None else inside
            held.check(wanted, self._target)
            return self._adopted(held, inside)
        held.check(wanted, self._target)
        token = inside and inside.details["token"]
        if token == held.details["token"]:
            return held
        if inside and token == held.details["next_token"]:  # a crash came between the two renames
            return self._adopted(held.at(inside.checkpoint, work={}), inside)
        raise BadInput(f"{self._target} is not the file that its manifest describes; restore it, or remove both")

    def _manifest_inside(self) -> Manifest | None:
        if not self._path_of_target.exists() or not self._path_of_target.stat().st_size:
            return None
        try:
            metadata = pq.read_schema(self._path_of_target).metadata or {}
        except pa.ArrowInvalid:
            metadata = {}
        return Manifest.decode(metadata.get(_METADATA, b""), self._target)

    def _adopted(self, manifest: Manifest, inside: Manifest | None) -> Manifest:
        """The manifest that goes with the file as it is."""
        [stream] = self._streams
        rows = StreamRows(stream, self._options, manifest.details.get("custom_fields"))
        published = {stream: [read_part(self._path_of_target, rows)]} if inside else {}
        token = inside and inside.details["token"]
        adopted = manifest.at(
            manifest.checkpoint, token=token, next_token=uuid.uuid4().hex, published=_spell(published)
        )
        adopted.store(self._manifest_path)
        return adopted

    def _publish(self) -> None:
        [stream] = self._streams
        rows, work = self._rows[stream], self._parts("work")[stream]
        parts = [*self._parts("published")[stream], *work]
        inside = self._manifest.at(self._manifest.checkpoint, token=self._manifest.details["next_token"], work={})
        whole = self._work / "whole.parquet"
        writer = PartWriter(rows, lambda: whole, None, {_METADATA: inside.encode()})
        writer.begin()
        for number, part in enumerate(parts):
            newer = [other for other in parts[number + 1 :] if other in work]
            for batch in copy_rows(part, newer, rows, drop_deleted=self._options.exclude_deleted):
                writer.write(batch)
        writer.close()
        os.replace(whole, self._path_of_target)
        sync(self._path_of_target.absolute().parent)
        self._manifest = self._adopted(inside, inside)
        self._tidy()


class ParquetFolder(_ParquetSink):
    """A dataset: `STREAM/part-*.parquet`. The manifest names the parts that belong to it."""

    def __init__(self, target: str, streams: Sequence[str], options: SinkOptions) -> None:
        self._folder = Path(target)
        super().__init__(target, "folder", streams, options, self._folder / "_work", self._folder / "_manifest.json")

    def _lock(self) -> int:
        return lock_folder(self._folder, self._target)

    def _published(self, stream: str, file: str) -> Path:
        return self._folder / stream / file

    def _checked(self, held: Manifest | None, wanted: Manifest) -> Manifest:
        if held is not None:
            held.check(wanted, self._target)
            return held
        if not is_unused(self._folder, self._manifest_path):
            raise BadInput(
                f"{self._target} has files, and no manifest of ticketfeed export; choose another target, or remove it "
                "to start anew"
            )
        wanted.store(self._manifest_path)
        return wanted

    def _publish(self) -> None:
        live = {stream: self._live(stream) for stream in self._streams}
        self._store(self._manifest.checkpoint, published=_spell(live), work={})
        self._tidy()

    def _live(self, stream: str) -> list[StoredPart]:
        """The parts in which every id is there once: older ones without what is superseded, small ones joined."""
        rows, work = self._rows[stream], self._parts("work")[stream]
        parts = [*self._parts("published")[stream], *work]
        newer = {part: [other for other in parts[number + 1 :] if other in work] for number, part in enumerate(parts)}
        current = [part for part in parts if not self._is_stale(part, newer[part], rows)]
        small = [part for part in current if part.part.rows < _SMALL_ROWS]
        if len(small) > 1 or len(current) < len(parts):
            current = [part for part in current if part not in small]
        writer = self._writer(rows)
        for part in parts:
            if part not in current:
                for batch in copy_rows(part, newer[part], rows, drop_deleted=self._options.exclude_deleted):
                    writer.write(batch)
        writer.close()
        return current + writer.parts

    def _is_stale(self, part: StoredPart, newer: Sequence[StoredPart], rows: StreamRows) -> bool:
        deleted = self._options.exclude_deleted and part.part.deleted > 0
        return deleted or part.part.columns != len(rows.columns) or alive_rows(part, newer, rows) is not None

    def _tidy(self) -> None:
        """Move published parts out of the work folder, and remove from the target those that are none any more."""
        for stream, parts in self._parts("published").items():
            folder = self._folder / stream
            folder.mkdir(exist_ok=True)
            for part in parts:
                if (made := self._work / stream / part.part.file).exists():
                    os.replace(made, part.path)
            sync(folder)
            for path in folder.glob("part-*.parquet"):
                if path not in {part.path for part in parts}:
                    path.unlink()
        super()._tidy()


def _spell(parts: _Parts) -> dict[str, Any]:
    return {stream: [asdict(part.part) for part in listed] for stream, listed in parts.items()}
