"""The id of an SQLite file: a random number in its header, which its write-ahead log carries too.

SQLite applies a log to whatever file lies beside it. So a file that is put in the place of another, while a server has
that one open or after a crash has left its log, would be damaged. The number tells files apart: it is made with each
file and with each copy, and the first write in a log stores it there, with the page that holds the header. A plain copy
of a file that is put back has the number of the file, and cannot be told from it.

The format is documented at https://www.sqlite.org/fileformat.html, sections 1.3 and 4.1.
"""

import contextlib
import os
import secrets
import threading
from pathlib import Path

import apsw

from ticketfeed.protocol.errors import StoreError, StoreUnavailable

__all__ = ["LOG_HEADER_BYTES", "FileId", "log_path", "new_file_id", "refuse_foreign_log"]

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_LOG_MAGIC = (0x377F0682, 0x377F0683)
LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


def new_file_id() -> int:
    """A number for a new file. SQLite keeps it as the user_version, which nothing else uses."""
    return secrets.randbelow(2**31 - 1) + 1


def log_path(path: Path) -> Path:
    """The write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def refuse_foreign_log(path: Path) -> None:
    """Raise StoreError if the log beside a file was written for another one. Called before SQLite opens the file."""
    log = log_path(path)
    try:
        logged = _logged_header(log)
        with contextlib.closing(_HeaderFile(path)) as file:
            header = file.read()
    except (OSError, apsw.Error):  # one of them is missing, or SQLite finds the same reason in a moment, and tells it
        return
    if logged is None or not header.startswith(_MAGIC) or not _file_id_of(header):
        return
    if _file_id_of(logged) not in (0, _file_id_of(header)):
        raise StoreError(
            f"the write-ahead log {log} belongs to another file than {path}; "
            "put its own file back, or move the log away"
        )


class FileId:
    """Notices that an open file was replaced. `number` is 0 in a file of an older release, until it is written."""

    def __init__(self, path: Path, number: int) -> None:
        self._path, self.number = path, number
        self._file, self._lock = _HeaderFile(path), threading.Lock()
        self._place = self._find()

    def refuse_moved(self) -> None:
        """Raise StoreUnavailable if there is another file at the path, or none."""
        if self._find() != self._place:
            self._refuse()

    def refuse_replaced(self) -> None:
        """Raise StoreUnavailable if there is another file at the path, or the file has the content of another one."""
        self.refuse_moved()
        try:
            with self._lock:
                header = self._file.read()
        except apsw.Error:
            header = b""
        if not header.startswith(_MAGIC) or (self.number and _file_id_of(header) not in (0, self.number)):
            self._refuse()

    def is_replaced(self) -> bool:
        try:
            self.refuse_replaced()
        except StoreUnavailable:
            return True
        return False

    def close(self) -> None:
        self._file.close()

    def _find(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _refuse(self) -> None:
        raise StoreUnavailable(f"the store {self._path} was replaced by another file while it was open: restart")


class _HeaderFile:
    """Reads the header of a file through SQLite's VFS: closing a descriptor of our own would drop SQLite's locks."""

    def __init__(self, path: Path) -> None:
        self._file = apsw.VFSFile("", str(path.resolve()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])

    def read(self) -> bytes:
        return bytes(self._file.xRead(_HEADER_BYTES, 0))

    def close(self) -> None:
        self._file.xClose()


def _file_id_of(header: bytes) -> int:
    return int.from_bytes(header[60:64], "big")


def _logged_header(log: Path) -> bytes | None:
    """The header of the file that a log was written for; None if it does not say. Raises OSError."""
    with log.open("rb") as file:
        head = file.read(LOG_HEADER_BYTES)
        if len(head) < LOG_HEADER_BYTES or int.from_bytes(head[:4], "big") not in _LOG_MAGIC:
            return None
        frame_bytes = _FRAME_HEADER_BYTES + int.from_bytes(head[8:12], "big")
        at = LOG_HEADER_BYTES
        while True:
            file.seek(at)
            frame = file.read(_FRAME_HEADER_BYTES + _HEADER_BYTES)
            # What an earlier use of the log has left behind its end has other salts.
            if len(frame) < _FRAME_HEADER_BYTES + _HEADER_BYTES or frame[8:16] != head[16:24]:
                return None
            if frame[:4] == b"\0\0\0\1":
                return frame[_FRAME_HEADER_BYTES:]
            at += frame_bytes
