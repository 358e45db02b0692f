"""Atomic write of a file: it is complete, or it does not exist.

The data goes to FILE.part, which is synced to the disk and renamed.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ticketfeed.protocol.errors import StoreError

__all__ = ["atomic_file", "sync"]

# Files that belong to an SQLite database. SQLite would replay an old log beside a new database into it.
_SQLITE_SUFFIXES = ("-journal", "-wal", "-shm")


@contextlib.contextmanager
def atomic_file(file: Path, mode: int, *, may_be_empty: bool = False, replace: bool = False) -> Iterator[Path]:
    """Yield the path of `FILE.part`, to be filled; rename it to FILE at the end, or remove it on any error.

    Raises StoreError if it is a directory, if its folder is missing, if the file exists (with `may_be_empty`, if it is
    not empty), or the part.
    With `replace`, both are overwritten.
    """
    if not file.name:  # as of . and /
        raise StoreError(f"{file} is a directory, not a file")
    part = file.with_name(f"{file.name}.part")
    if replace:
        part.unlink(missing_ok=True)
    else:
        _refuse_existing(file, may_be_empty)
    # Of another process. Told before the part is made, and the part is made inside of the `try`: a signal may interrupt
    # this anywhere, and what was made must not stay.
    is_foreign = os.path.lexists(part)
    try:
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        except FileNotFoundError:
            raise StoreError(f"cannot write {file}: there is no folder {file.parent}") from None
        except FileExistsError:
            is_foreign = True
            raise StoreError(
                f"{part} already exists: another process is writing it, or it is left over from a crash; then delete it"
            ) from None
        yield part
        sync(part)
        if not replace:
            _refuse_existing(file, may_be_empty)  # it may have been created in the meantime
        os.replace(part, file)
        sync(file.absolute().parent)
    finally:
        for suffix in () if is_foreign else ("", *_SQLITE_SUFFIXES):
            Path(f"{part}{suffix}").unlink(missing_ok=True)


def _refuse_existing(file: Path, may_be_empty: bool) -> None:
    if file.exists() and not (may_be_empty and file.is_file() and file.stat().st_size == 0):
        raise StoreError(f"{file} already exists, and is not overwritten")
    for suffix in _SQLITE_SUFFIXES:
        if Path(f"{file}{suffix}").exists():
            raise StoreError(f"{file}{suffix} is left over from an earlier {file.name}; move it away first")


def sync(path: Path) -> None:
    """Sync a file or a directory. A directory must be synced too: it holds the new name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
