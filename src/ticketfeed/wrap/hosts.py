"""Which host is which, as pure functions of its name.

A help desk's host is one label and `.zendesk.com`, nothing more and nothing less: a name that merely ends or begins
like it goes elsewhere.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from ticketfeed.protocol.errors import BadInput

__all__ = [
    "HTTPS_PORT",
    "PORT_MAX",
    "ZENDESK",
    "Address",
    "is_allowed",
    "is_served",
    "is_zendesk",
    "parse_address",
    "parse_allowed_host",
    "parse_host_port",
]

ZENDESK = "zendesk.com"
HTTPS_PORT = 443
PORT_MAX = 65535

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")
_IPV6 = re.compile(r"[0-9a-f:.]{2,45}")
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_ZENDESK_HOST = re.compile(rf"{_LABEL}\.zendesk\.com")
_LOCAL_HOST = re.compile(rf"(?:{_LABEL}\.)?localhost")


class Address(NamedTuple):
    """Where a connection goes; the host in small letters, without a dot at its end."""

    host: str
    port: int


def parse_address(text: str, default_port: int | None = None) -> Address | None:
    """HOST:PORT, or HOST alone where a port is given; None for what cannot be one."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else default_port
    host = (match["ipv6"] or match["host"]).lower()
    host = host if match["ipv6"] else host.removesuffix(".")
    if port is None or not 1 <= port <= PORT_MAX or not (_IPV6 if match["ipv6"] else _HOST).fullmatch(host):
        return None
    return Address(host, port)


def parse_allowed_host(text: str) -> str:
    """A host that may be reached besides, or `*.DOMAIN` for every host below it. Raises BadInput."""
    host = text.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(host.removeprefix("*.")) and not _IPV6.fullmatch(host):
        raise BadInput(f"--allow-host {text!r} is not a host such as api.example.com or *.example.com")
    if is_zendesk(host.replace("*", "any")):
        raise BadInput(f"--allow-host {text!r}: the hosts of help desks are always answered here")
    return host


def parse_host_port(text: str) -> int:
    """A port of this machine that an isolated command can reach. Raises BadInput."""
    port = int(text) if _PORT.fullmatch(text) else 0
    if not 1 <= port <= PORT_MAX:
        raise BadInput(f"--host-port {text!r} is not a port from 1 to {PORT_MAX}")
    if port == HTTPS_PORT:
        raise BadInput(f"--host-port {port}: COMMAND reaches the store at this port")
    return port


def is_zendesk(host: str) -> bool:
    """Whether the host is a help desk's."""
    return _ZENDESK_HOST.fullmatch(host) is not None


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether the host, or a domain it lies below, was allowed by name."""
    labels = host.split(".")
    return host in allowed or any(f"*.{'.'.join(labels[cut:])}" in allowed for cut in range(1, len(labels)))


def is_served(name: str) -> bool:
    """Whether a certificate is made for this name: a help desk's host, `localhost`, or one label below it."""
    return is_zendesk(name) or _LOCAL_HOST.fullmatch(name) is not None
