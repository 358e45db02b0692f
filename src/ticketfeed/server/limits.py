"""Limits on what clients can make a server process hold, or wait for: the table of docs/reference/limits.md."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["DEFAULT_LIMITS", "Limits"]

_KIB, _MIB = 1024, 1024 * 1024


def _limit(default: Any, unit: str, help: str, beyond: str) -> Any:
    """`beyond`: what happens when it is exceeded."""
    return field(default=default, metadata={"unit": unit, "help": help, "beyond": beyond})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one process."""

    # Python needs about 10 KiB for an idle connection.
    connections: int = _limit(
        4000,
        "connections",
        "Open connections.",
        "Of the address with the most connections (of the /64 network, for IPv6), the oldest one without credentials "
        "is closed for a new one.",
    )
    # Many times what clients send: nginx and Apache refuse heads beyond 32 KB and 8 KB by default.
    head_bytes: int = _limit(
        64 * _KIB,
        "bytes",
        "The head of a request; likewise the trailers of a chunked body, and chunk headers without data.",
        "431, and the connection is closed.",
    )
    # Half of Apache's 20 seconds: heads are one packet or two.
    head_seconds: float = _limit(
        10.0, "seconds", "From the first byte of a head to its end; likewise a TLS handshake.", "408"
    )
    body_seconds: float = _limit(300.0, "seconds", "From the first byte of a head to the end of the body.", "408")
    # Four times the rate that Kestrel and IIS demand; the grace period is Kestrel's.
    send_bytes_per_second: int = _limit(
        1 * _KIB, "bytes a second", "Average rate at which a head or body arrives, after the grace period.", "408"
    )
    send_grace_seconds: float = _limit(5.0, "seconds", "Grace period of that rate.", "")
    received_bytes: int = _limit(
        64 * _MIB, "bytes", "Heads and bodies that have been received in part.", "408 for the slowest senders."
    )
    # uvicorn's default.
    idle_seconds: float = _limit(
        5.0,
        "seconds",
        "Without a request in progress: since the connection was opened, or its last response was received. Bytes that "
        "are no request, and the rest of a refused body, do not extend it.",
        "The connection is closed.",
    )
    # None of the known clients sends a request before the last response has arrived.
    pipelined_requests: int = _limit(
        32, "requests", "Requests of one connection that wait for an earlier one.", "400, and the connection is closed."
    )
    # A reader may write a page to its target while it reads the rest: it is the average that counts.
    read_bytes_per_second: int = _limit(
        1 * _KIB, "bytes a second", "Average rate at which a response is received.", "The connection is reset."
    )
    read_seconds: float = _limit(30.0, "seconds", "Period over which that rate is measured.", "")
    # The slowest links in use are faster: after two round trips of 200 ms, TCP's slow start has sent 43 KB.
    busy_read_bytes_per_second: int = _limit(
        32 * _KIB,
        "bytes a second",
        "The same while more than three quarters of the unsent bytes below are in use.",
        "The slowest readers are reset until half of them are free.",
    )
    busy_read_seconds: float = _limit(0.5, "seconds", "Period over which that rate is measured.", "")
    # A limit costs a page of 1 MB a quarter of its rate: it has to be written in parts, each time the reader took some.
    socket_bytes: int = _limit(
        128 * _KIB,
        "bytes",
        "Buffers of a connection in the system, one for each direction. That for responses is not limited once a "
        "client with credentials has received twice as much.",
        "The sender waits.",
    )
    unsent_bytes: int = _limit(
        128 * _MIB,
        "bytes",
        "Responses to requests with credentials that have not been received, in the process and in the system.",
        "Requests wait.",
    )
    anonymous_unsent_bytes: int = _limit(16 * _MIB, "bytes", "The same of all other requests.", "Requests wait.")
    # Clients of the wire give up after five seconds.
    wait_seconds: float = _limit(3.0, "seconds", "How long a request waits for other responses to be received.", "503")
    requests: int = _limit(
        1000, "requests", "Requests with credentials in progress whose client is still connected.", "503"
    )
    anonymous_requests: int = _limit(100, "requests", "The same of all other requests.", "503")


DEFAULT_LIMITS = Limits()
