"""Files that survive a crash: synced, replaced as a whole, locked against a second run. Disk errors are translated."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ticketfeed.atomic_file import sync
from ticketfeed.protocol.errors import TargetError

__all__ = ["explain", "is_unused", "lock", "lock_file", "lock_folder", "replace_file", "translated"]

_LOCKED = (errno.EACCES, errno.EAGAIN)


@contextlib.contextmanager
def translated(target: str) -> Iterator[None]:
    """Errors of the operating system become TargetError, one line with the reason."""
    try:
        yield
    except OSError as error:
        raise TargetError(f"{target} cannot be written: {explain(error)}") from error


def explain(error: OSError) -> str:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{reason} ({error.filename})" if error.filename else reason


def replace_file(path: Path, data: bytes) -> None:
    """Give a file new contents: a crash leaves the old or the new ones, whole."""
    part = _part_of(path)
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def is_unused(folder: Path, first: Path) -> bool:
    """Whether a folder is empty, but for what `replace_file` leaves if it is killed while it makes the `first` file."""
    return all(path == _part_of(first) for path in folder.iterdir())


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def lock(descriptor: int, target: str) -> None:
    """Hold a file or folder until it is closed. Raises TargetError when another process holds it."""
    import fcntl  # not on every system that the other commands run on

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _LOCKED:
            raise
        raise TargetError(f"{target} is in use by another export; wait for its end, or choose another target") from None


def lock_folder(folder: Path, target: str) -> int:
    """Make a folder where there is none, and hold it: the descriptor to be closed at the end."""
    while True:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        if _is_held(folder, descriptor, target):
            return descriptor


def lock_file(path: Path, target: str) -> int:
    """The same for a lock file beside the target, which is removed at the end."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _is_held(path, descriptor, target):
            return descriptor


def _is_held(path: Path, descriptor: int, target: str) -> bool:
    """Lock an open file, and check that the run that held the lock before has not removed it meanwhile."""
    try:
        lock(descriptor, target)
        if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
            return True
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return False
