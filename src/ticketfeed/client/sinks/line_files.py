"""NDJSON and CSV: files that lines are appended to, and a manifest with the valid length of each.

A write appends and syncs, then replaces the manifest: what lies behind the manifest's sizes is cut off when the target
is opened again. So a line is there once, whatever happened between.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ticketfeed.atomic_file import sync
from ticketfeed.client.sinks.appended import CODECS, AppendedFile, Codec
from ticketfeed.client.sinks.contract import Batch, Checkpoint, ClosingSink, SinkOptions
from ticketfeed.client.sinks.durable import is_unused, lock_folder, translated
from ticketfeed.client.sinks.last_numbers import LastNumbers
from ticketfeed.client.sinks.lines import CsvLines, Lines, NdjsonLines
from ticketfeed.client.sinks.manifest import Manifest, layout_of
from ticketfeed.client.sinks.rows import is_deleted
from ticketfeed.protocol.errors import BadInput

__all__ = ["LineFiles"]

# What is compressed and written at once where a file is written anew.
_CHUNK_BYTES = 4_000_000
_FORMATS: dict[str, Callable[[str], Lines]] = {"ndjson": NdjsonLines, "csv": CsvLines}


class LineFiles(ClosingSink):
    """Files by stream. `folder` is the target's own, where it is one; `manifest` the place of the manifest."""

    def __init__(
        self, target: str, kind: str, codec: Codec, files: Mapping[str, Path], manifest: Path, options: SinkOptions
    ) -> None:
        self._target, self._manifest_path, self._options = target, manifest, options
        self._folder = manifest.parent if manifest.name.startswith("_") else None
        self._files = {stream: AppendedFile(path, codec) for stream, path in files.items()}
        self._lines = {stream: _FORMATS[kind](stream) for stream in files}
        self._layout = {**layout_of(kind, options), "compact": options.compact}
        self._manifest: Manifest | None = None
        self._locks = contextlib.ExitStack()

    @classmethod
    def single(cls, target: str, kind: str, ending: str, stream: str, options: SinkOptions) -> Self:
        path = Path(target)
        return cls(target, kind, CODECS[ending], {stream: path}, path.with_name(f"{path.name}.manifest.json"), options)

    @classmethod
    def in_folder(cls, target: str, streams: Sequence[str], options: SinkOptions) -> Self:
        folder = Path(target)
        files = {stream: folder / stream / "part-00001.ndjson" for stream in streams}
        return cls(target, "ndjson", CODECS[""], files, folder / "_manifest.json", options)

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        wanted = Manifest.new(self._layout, identity)
        with translated(self._target):
            held = self._open_manifest(wanted)
            replacing = held.details.get("replacing", {})
            sizes = {**held.details.get("bytes", {}), **replacing}
            for stream, file in self._files.items():
                file.path.parent.mkdir(exist_ok=True)
                part = _part_of(file)
                if part.exists() and stream in replacing:
                    os.replace(part, file.path)  # what a crash has interrupted
                part.unlink(missing_ok=True)
                file.open(sizes.get(stream, 0), self._target)
                sync(file.path.parent)
                if not file.size and self._lines[stream].header:
                    file.append(self._lines[stream].header)
            self._manifest = held
            if replacing:
                self._store(held.checkpoint, replacing={})
        return held.checkpoint

    def _open_manifest(self, wanted: Manifest) -> Manifest:
        """The manifest of the target; a new one is made before there are data, which without it would be strange."""
        if self._folder:
            self._locks.callback(os.close, lock_folder(self._folder, self._target))
        held = Manifest.load(self._manifest_path, self._target)
        if held is None:
            self._refuse_foreign()
            wanted.store(self._manifest_path)
            return wanted
        held.check(wanted, self._target)
        return held

    def _refuse_foreign(self) -> None:
        if self._folder:
            foreign = not is_unused(self._folder, self._manifest_path)
        else:
            foreign = any(file.path.exists() and file.path.stat().st_size for file in self._files.values())
        if foreign:
            raise BadInput(
                f"{self._target} is there, and has no manifest of ticketfeed export; choose another target, or remove "
                "it to start anew"
            )

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> None:
        before = self._sizes()
        try:
            with translated(self._target):
                for batch in batches:
                    records = self._wanted(batch)
                    if records:
                        self._files[batch.stream].append(self._lines[batch.stream].encode(records))
                self._store(checkpoint)
        except BaseException:
            for stream, size in before.items():
                with contextlib.suppress(OSError):
                    self._files[stream].cut(size)
            raise

    def _wanted(self, batch: Batch) -> Sequence[bytes]:
        # A target that is made compact needs the deleted ones until then: they remove what came before.
        if not self._options.exclude_deleted or self._options.compact:
            return batch.records
        return [record for record in batch.records if not is_deleted(batch.stream, record)]

    def _sizes(self) -> dict[str, int]:
        return {stream: file.size for stream, file in self._files.items()}

    def _store(self, checkpoint: Checkpoint | None, **details: Any) -> None:
        assert self._manifest
        self._manifest = self._manifest.at(checkpoint, bytes=self._sizes(), **details)
        self._manifest.store(self._manifest_path)

    def finish(self, checkpoint: Checkpoint) -> None:
        with translated(self._target):
            self._store(checkpoint)
            if self._options.compact:
                for stream in self._files:
                    self._compact(stream, checkpoint)

    def _compact(self, stream: str, checkpoint: Checkpoint) -> None:
        """Reduce the file to the last line of each id: write a new file, record it in the manifest, then rename it."""
        file, lines = self._files[stream], self._lines[stream]
        part = _part_of(file)
        new = AppendedFile(part, file.codec)
        new.open(0, self._target)
        try:
            chunk = bytearray(lines.header)
            for line in self._last_lines(stream):
                if not (self._options.exclude_deleted and lines.deleted(line)):
                    chunk += line
                if len(chunk) > _CHUNK_BYTES:
                    new.append(bytes(chunk))
                    chunk.clear()
            new.append(bytes(chunk))
        finally:
            new.close()
        sync(part.parent)
        self._store(checkpoint, replacing={stream: new.size})
        file.replace(part, self._target)
        self._store(checkpoint, replacing={})

    def _last_lines(self, stream: str) -> Iterator[bytes]:
        """The last line of each id, in the order of the file."""
        file, lines = self._files[stream], self._lines[stream]
        with LastNumbers() as last:
            with file.read() as source:
                last.store((lines.key(line), number) for number, line in enumerate(lines.split(source)))
            with file.read() as source:
                for number, line in enumerate(lines.split(source)):
                    if last.number_of(lines.key(line)) == number:
                        yield line

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:
        for line in self._last_lines(stream):
            yield self._lines[stream].position(line)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._locks.close()


def _part_of(file: AppendedFile) -> Path:
    return file.path.with_name(f"{file.path.name}.part")
