"""The directory of the local certificate authority: private, created once, renewed before the certificates expire.

A lock makes commands that start at the same time agree on one authority.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ticketfeed.atomic_file import atomic_file
from ticketfeed.protocol.errors import BadInput

if TYPE_CHECKING:
    from ticketfeed.wrap.authority import Authority

__all__ = ["CERTIFICATE_NAME", "choose_ca_folder", "open_authority"]

CERTIFICATE_NAME = "ca.pem"
ISSUER_NAME = "issuer.pem"
# A server or command that starts with the authority can run for at least this long.
RENEWED_BEFORE_SECONDS = 180 * 86_400


def choose_ca_folder(environ: Mapping[str, str]) -> Path:
    """The directory for this user's state. Raises BadInput if the user has no home directory."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            raise BadInput(
                "this user has no home directory; set the directory of the certificate authority with --ca-dir"
            ) from None
    return state / "ticketfeed"


def open_authority(folder: Path, now: int) -> "Authority":
    """Open the authority in a directory; create both if they do not exist. Raises BadInput."""
    from ticketfeed.wrap.authority import make_authority  # imports cryptography, an optional dependency

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            authority = _read(folder)
            if authority is None or authority.ends < now + RENEWED_BEFORE_SECONDS:
                authority = make_authority(now)
                for name, pem in ((ISSUER_NAME, authority.issuer_pem), (CERTIFICATE_NAME, authority.root_pem)):
                    with atomic_file(folder / name, 0o600, replace=True) as part:
                        part.write_bytes(pem)
            return authority
    except OSError as error:
        raise BadInput(f"cannot use {folder} for certificates: {error.strerror or error}") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl  # does not exist on Windows, where the other commands run

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        state = os.fstat(descriptor)
        if state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise BadInput(f"the directory {folder} must be private, because it holds a secret key: chmod 700 {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(folder: Path) -> "Authority | None":
    """None if it does not exist, or its creation was interrupted."""
    from ticketfeed.wrap.authority import read_authority

    try:
        return read_authority((folder / CERTIFICATE_NAME).read_bytes(), (folder / ISSUER_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
