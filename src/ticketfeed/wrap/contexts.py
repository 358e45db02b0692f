"""What a TLS server shows: a certificate from files, or one made for whatever name the client asks for.

A context is made in the process that serves, from bytes read before any was started: nothing can be missing by then.
"""

import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.hosts import ZENDESK, is_served

if TYPE_CHECKING:
    from ticketfeed.wrap.authority import Authority

__all__ = ["MakeContext", "file_context", "local_context", "read_certificate"]

# Makes the context of a serving process; can be sent to another process.
MakeContext = Callable[[], ssl.SSLContext]

# For a client that asks for no name, or one that is not ours.
DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1", "*.localhost", f"*.{ZENDESK}")
# Certificates are made anew each day, long before they end.
CONTEXT_SECONDS_MAX = 86_400.0
CONTEXTS_MAX = 1000


def read_certificate(certificate: Path, key: Path | None) -> bytes:
    """The text of a certificate with its chain, and of its key, which may stand in the same file. Raises BadInput."""
    try:
        pem = b"\n".join(file.read_bytes() for file in (certificate, key) if file is not None)
        file_context(pem)
    except ssl.SSLError as error:  # which is an OSError too
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise BadInput(f"{certificate} and its key cannot be used: {reason}") from None
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from None
    return pem


def file_context(pem: bytes) -> ssl.SSLContext:
    """Always this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile() as file:  # the standard library reads a key from nowhere else
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name, password=lambda: "")  # an encrypted key is refused, not asked about
    return context


def local_context(root_pem: bytes, issuer_pem: bytes) -> ssl.SSLContext:
    """A certificate for each name that is asked for, from the authority written as these texts."""
    from ticketfeed.wrap.authority import read_authority

    contexts = _Contexts(read_authority(root_pem, issuer_pem))
    context = contexts.find(None)
    context.sni_callback = contexts.choose
    return context


class _Contexts:
    """One context for each name, remembered for a day."""

    def __init__(self, authority: "Authority") -> None:
        self._authority = authority
        self._made: dict[str, tuple[float, ssl.SSLContext]] = {}

    def choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        try:
            connection.context = self.find(name)
        except OSError:  # no room for the file that the library wants
            return int(ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR)
        return None

    def find(self, name: str | None) -> ssl.SSLContext:
        name = (name or "").lower()
        name = name if is_served(name) else ""
        made, context = self._made.get(name, (0.0, None))
        if context is None or time.monotonic() > made + CONTEXT_SECONDS_MAX:
            if len(self._made) >= CONTEXTS_MAX:
                self._made.clear()
            context = file_context(self._authority.issue((name,) if name else DEFAULT_NAMES, system_clock()))
            self._made[name] = time.monotonic(), context
        return context
