"""The key that signs dashboard sessions. It is not in the store: who reads a backup cannot make a session of it.

An SQLite store has it in a file of its own, FILE-session-key, made when the store is first served. A PostgreSQL store
has no place beside it, and one in memory ends with its process: without `--session-key` each server makes a key for
itself, and its sessions end with it.
"""

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path

from ticketfeed.protocol.errors import StoreError
from ticketfeed.settings import SESSION_KEY_CHARS_MIN, Settings
from ticketfeed.storage import sqlite_path

__all__ = ["find_session_key", "make_session_key"]

_log = logging.getLogger("ticketfeed.server")


def find_session_key(settings: Settings) -> str:
    """The key of the settings, or that of the store. Raises StoreError if its file holds none."""
    if settings.session_key or not settings.store.startswith("sqlite:"):
        return settings.session_key or make_session_key()
    file = sqlite_path(settings.store)
    path = file.with_name(f"{file.name}-session-key")
    try:
        if not path.exists():
            _create(path, file)
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        _log.warning("cannot use %s: %s; dashboard sessions will end with this server", path, reason)
        return make_session_key()
    if len(key) < SESSION_KEY_CHARS_MIN:
        raise StoreError(f"{path} holds no key; delete it, and a new one is made")
    return key


def make_session_key() -> str:
    return secrets.token_urlsafe(32)


def _create(path: Path, store: Path) -> None:
    """Write a new key. Of processes that do so at the same time one wins, and the file is complete for all of them."""
    descriptor, part = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.absolute().parent)  # its mode is 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{make_session_key()}\n")
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0 and store.exists():  # a server that does not run as root must be able to use it later
            owner = store.stat()
            os.chown(part, owner.st_uid, owner.st_gid)
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        os.unlink(part)
