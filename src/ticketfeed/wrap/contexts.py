"""TLS contexts of a server: a fixed certificate from files, or one issued for the name that the client requests.

A context is created in the worker process, from bytes that the parent has read and checked: it cannot fail there.
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

# Creates the context in a worker process; can be pickled.
MakeContext = Callable[[], ssl.SSLContext]

# For a client that requests no name, or one that is not served.
DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1", "*.localhost", f"*.{ZENDESK}")
# Certificates are issued again each day, long before they expire.
CONTEXT_SECONDS_MAX = 86_400.0
CONTEXTS_MAX = 1000


def read_certificate(certificate: Path, key: Path | None) -> bytes:
    """Read a certificate with its chain, and its key, which may be in the same file. Raises BadInput."""
    try:
        pem = b"\n".join(file.read_bytes() for file in (certificate, key) if file is not None)
        file_context(pem)
    except ssl.SSLError as error:  # a subclass of OSError
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise BadInput(f"{certificate} and its key cannot be used: {reason}") from None
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from None
    return pem


def file_context(pem: bytes) -> ssl.SSLContext:
    """A TLS context for one fixed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile() as file:  # the ssl module reads keys from files only
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name, password=lambda: "")  # an encrypted key is an error, not a prompt
    return context


def local_context(root_pem: bytes, issuer_pem: bytes) -> ssl.SSLContext:
    """A TLS context that issues a certificate for each requested name, from the authority in these PEM texts."""
    from ticketfeed.wrap.authority import read_authority

    contexts = _Contexts(read_authority(root_pem, issuer_pem))
    context = contexts.find(None)
    context.sni_callback = contexts.choose
    return context


class _Contexts:
    """Cache of one context for each name, for a day."""

    def __init__(self, authority: "Authority") -> None:
        self._authority = authority
        self._cached: dict[str, tuple[float, ssl.SSLContext]] = {}

    def choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        try:
            connection.context = self.find(name)
        except OSError:  # no space for the temporary file of the key
            return int(ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR)
        return None

    def find(self, name: str | None) -> ssl.SSLContext:
        name = (name or "").lower()
        name = name if is_served(name) else ""
        created, context = self._cached.get(name, (0.0, None))
        if context is None or time.monotonic() > created + CONTEXT_SECONDS_MAX:
            if len(self._cached) >= CONTEXTS_MAX:
                self._cached.clear()
            context = file_context(self._authority.issue((name,) if name else DEFAULT_NAMES, system_clock()))
            self._cached[name] = time.monotonic(), context
        return context
