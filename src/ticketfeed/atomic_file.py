"""A file that is there whole, or not at all: filled under another name, made durable, then named."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ticketfeed.protocol.errors import StoreError

__all__ = ["atomic_file"]

# What SQLite keeps beside a database. Beside a new one, an old log would be taken for its own and replayed.
_COMPANIONS = ("-journal", "-wal", "-shm")


@contextlib.contextmanager
def atomic_file(file: Path, mode: int, *, may_be_empty: bool = False) -> Iterator[Path]:
    """Yields `FILE.part` to be filled; it is given its name at the end, and removed on any error.

    Raises StoreError when the file is there (with `may_be_empty`, when it holds anything), or the part is.
    """
    _refuse_existing(file, may_be_empty)
    part = file.with_name(f"{file.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except FileExistsError:
        raise StoreError(f"{part} is there: it is being written now, or was left by a crash; then remove it") from None
    try:
        yield part
        _sync(part)
        _refuse_existing(file, may_be_empty)  # it may have been made meanwhile
        os.replace(part, file)
        _sync(file.absolute().parent)
    finally:
        for ending in ("", *_COMPANIONS):
            Path(f"{part}{ending}").unlink(missing_ok=True)


def _refuse_existing(file: Path, may_be_empty: bool) -> None:
    if file.exists() and not (may_be_empty and file.is_file() and file.stat().st_size == 0):
        raise StoreError(f"{file} is there already, and is not overwritten")
    for ending in _COMPANIONS:
        if Path(f"{file}{ending}").exists():
            raise StoreError(f"{file}{ending} is there, left by an earlier {file.name}; move it away first")


def _sync(path: Path) -> None:
    """A folder, too, must reach the disk: a new name is an entry in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
