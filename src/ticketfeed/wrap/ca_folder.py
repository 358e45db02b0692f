"""Where the authority is kept: a folder that is private, in which it is made once and renewed before it ends.

Everything is done under a lock, so that several commands that start at once agree on one authority.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ticketfeed.protocol.errors import BadInput

if TYPE_CHECKING:
    from ticketfeed.wrap.authority import Authority

__all__ = ["CERTIFICATE_NAME", "choose_ca_folder", "open_authority"]

CERTIFICATE_NAME = "ca.pem"
ISSUER_NAME = "issuer.pem"
# A server or command that starts with it can go on for this long.
RENEWED_BEFORE_SECONDS = 180 * 86_400


def choose_ca_folder(environ: Mapping[str, str]) -> Path:
    """The folder for this user's state. Raises BadInput where there is no such place."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            raise BadInput("this user has no home folder; say where to keep certificates with --ca-dir") from None
    return state / "ticketfeed"


def open_authority(folder: Path, now: int) -> "Authority":
    """The authority of a folder; both are made when missing. Raises BadInput."""
    from ticketfeed.wrap.authority import make_authority  # brings in cryptography

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            authority = _read(folder)
            if authority is None or authority.ends < now + RENEWED_BEFORE_SECONDS:
                authority = make_authority(now)
                _write(folder / ISSUER_NAME, authority.issuer_pem)
                _write(folder / CERTIFICATE_NAME, authority.root_pem)
            return authority
    except OSError as error:
        raise BadInput(f"certificates cannot be kept in {folder}: {error.strerror or error}") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl  # not on every system that the other commands run on

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        state = os.fstat(descriptor)
        if state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise BadInput(f"the folder {folder} must be private, since a secret key is kept there: chmod 700 {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(folder: Path) -> "Authority | None":
    """None for one that is missing, or whose making was cut short."""
    from ticketfeed.wrap.authority import read_authority

    try:
        return read_authority((folder / CERTIFICATE_NAME).read_bytes(), (folder / ISSUER_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _write(file: Path, text: bytes) -> None:
    """Whole or not at all. A part that a crash left is written anew: the lock is ours."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
