"""Credentials of a source from the environment, a netrc file or a prompt; and the file of a rotating refresh token.

Never from the command line: other users of the machine can read that.
"""

import contextlib
import fcntl
import netrc
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ticketfeed.client.oauth import Basic, Bearer, ClientCredentials, Credentials, RefreshToken
from ticketfeed.protocol.errors import BadInput, SourceError

__all__ = ["PREFIX", "TokenFile", "find_credentials"]

PREFIX = "TICKETFEED_SOURCE_"
LOCK_SECONDS_MAX = 120.0
# More than two tokens take, JWT among them.
ROOM_BYTES = 16 * 1024


def find_credentials(
    source: str, environment: Mapping[str, str] = os.environ, ask: Callable[[str], str] | None = None
) -> Credentials:
    """Credentials from the environment, else from the netrc file, else from `ask`. Raises BadInput.

    `ask`: prompts for a line; its argument is the prompt. None where nobody is there to answer.
    """
    variables = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
    variables = {name: value for name, value in variables.items() if value}
    found = _from_environment(variables)
    host = urlsplit(source).hostname or ""
    if found is None:
        found = _from_netrc(host, environment)
    if found is None and ask is not None:
        email = ask(f"Email of an admin of {host} (empty for an access token): ").strip()
        secret = ask("API token: " if email else "Access token: ").strip()
        found = Basic(email.removesuffix("/token"), secret) if email else Bearer(secret)
    if found is None:
        raise BadInput(
            f"no credentials for {host}: set {PREFIX}EMAIL and {PREFIX}TOKEN, or {PREFIX}BEARER, or {PREFIX}CLIENT_ID "
            f"and {PREFIX}CLIENT_SECRET, or add the host to ~/.netrc"
        )
    return _checked(found)


def _from_environment(variables: Mapping[str, str]) -> Credentials | None:
    ways = [name for name in ("EMAIL", "BEARER", "CLIENT_ID") if name in variables]
    if len(ways) > 1:
        raise BadInput(f"set one of {' and '.join(PREFIX + name for name in ways)}, not several")
    if "EMAIL" in variables or "TOKEN" in variables:
        missing = [name for name in ("EMAIL", "TOKEN") if name not in variables]
        if missing:
            raise BadInput(f"{PREFIX}{missing[0]} is not set; an email and an API token belong together")
        return Basic(variables["EMAIL"].removesuffix("/token"), variables["TOKEN"])
    if "BEARER" in variables:
        return Bearer(variables["BEARER"])
    if "CLIENT_ID" not in variables:
        orphan = next((name for name in ("CLIENT_SECRET", "REFRESH_TOKEN_FILE") if name in variables), None)
        if orphan:
            raise BadInput(f"{PREFIX}{orphan} is set, and {PREFIX}CLIENT_ID is not")
        return None
    if "REFRESH_TOKEN_FILE" in variables:
        return RefreshToken(variables["CLIENT_ID"], variables.get("CLIENT_SECRET"), variables["REFRESH_TOKEN_FILE"])
    if "CLIENT_SECRET" not in variables:
        raise BadInput(f"{PREFIX}CLIENT_ID needs {PREFIX}CLIENT_SECRET or {PREFIX}REFRESH_TOKEN_FILE")
    return ClientCredentials(variables["CLIENT_ID"], variables["CLIENT_SECRET"])


def _from_netrc(host: str, environment: Mapping[str, str]) -> Credentials | None:
    """`login` is the email, `password` the API token; without a login, or with `oauth`, it is an access token."""
    named = environment.get("NETRC")
    file = Path(named) if named else Path.home() / ".netrc"
    if not file.exists() and not named:
        return None
    try:
        entry = netrc.netrc(str(file)).authenticators(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None
    if entry is None:
        return None
    login, _, password = entry
    if not password:
        raise BadInput(f"{file} has no password for {host}")
    return Bearer(password) if login in ("", "oauth") else Basic(login.removesuffix("/token"), password)


def _checked(credentials: Credentials) -> Credentials:
    """A header is one line of printable characters. Raises BadInput without showing the value."""
    match credentials:
        case Basic(email, token):
            fits = email.isprintable() and token.isprintable() and ":" not in email and bool(token)
        case Bearer(token):
            fits = token.isascii() and token.isprintable() and bool(token)
        case _:
            fits = True
    if not fits:
        raise BadInput("the credentials of the source have characters that cannot be sent, or are empty")
    return credentials


class TokenFile:
    """The file with the current refresh token. One process at a time renews it, and the others take its result.

    `source`: the base address whose tokens they are.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source
        self._file = Path(name)
        self._part = self._file.parent / f"{self._file.name}.part"
        self._lock: int | None = None

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock, also in a process that inherits it."""
        assert self._lock is not None
        return self._lock

    def read(self) -> bytes:
        """Lock, then read. Raises SourceError."""
        self._acquire()
        try:
            return self.content()
        except SourceError:
            self.close()
            raise

    def content(self) -> bytes:
        """Raises SourceError."""
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise SourceError(f"{self._file} cannot be read: {error.strerror}") from None

    def prepare(self) -> None:
        """Occupy the room of new content, so that it cannot be lost to a full disk. Raises SourceError."""
        self._write_part(b" " * ROOM_BYTES)

    def replace(self, content: bytes) -> None:
        """Replace the content, on disk before this returns. Raises SourceError."""
        self._write_part(content)
        try:
            os.replace(self._part, self._file)
            folder = os.open(self._file.absolute().parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise SourceError(f"{self._file} cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Give back what `prepare` has occupied."""
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _acquire(self) -> None:
        """The lock is a file of its own, as the other is replaced. The system drops it when its last holder ends."""
        lock = self._file.parent / f"{self._file.name}.lock"
        try:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SourceError(f"{lock} cannot be written: {error.strerror}") from None
        deadline = time.monotonic() + LOCK_SECONDS_MAX
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.close()
                    raise SourceError(f"{lock} is held by another process that renews the token") from None
                time.sleep(0.1)

    def _write_part(self, content: bytes) -> None:
        """In place: what is cut off afterwards was occupied before."""
        try:
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600)
            with open(descriptor, "r+b", buffering=0) as output:
                output.write(content)
                output.truncate(len(content))
                os.fsync(descriptor)
        except OSError as error:
            raise SourceError(f"{self._part} cannot be written: {error.strerror}") from None
