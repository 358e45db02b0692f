"""What SOURCE may be: the address of an account over HTTP, or the URL of a store of ours."""

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from ticketfeed.protocol.errors import BadInput

__all__ = ["Source", "mirror_name", "parse_source"]

# What Zendesk allows all incremental exports of an account together.
ZENDESK_REQUESTS_PER_MINUTE = 10
# Polls of `--follow`. Zendesk hands a change out a minute after it was made; ticketfeed about a second after.
ZENDESK_FOLLOW_SECONDS, FOLLOW_SECONDS = 60.0, 5.0
_STORES = ("sqlite:", "postgresql:", "postgres:", "memory:")


@dataclass(frozen=True, slots=True)
class Source:
    """`url`: what to open. `name`: the same without a secret, for manifests and messages."""

    kind: Literal["http", "store"]
    url: str
    name: str
    account: str | None
    requests_per_minute: int | None = None
    follow_seconds: float = FOLLOW_SECONDS
    is_zendesk: bool = False


def mirror_name(source: Source) -> str:
    """The account that a source is mirrored into, where none is named: the first label of a host below zendesk.com."""
    return source.account if source.is_zendesk and source.account else "mirror"


def parse_source(text: str) -> Source:
    """Raises BadInput."""
    try:
        if text.startswith(_STORES):
            return Source("store", text, _without_user(text), None)
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"SOURCE is no address: {error}") from None
    if parts.username or parts.password:
        raise BadInput(
            "credentials do not belong into SOURCE, where others can read them; see: ticketfeed export --help"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"SOURCE is https://NAME.zendesk.com, another base address, or a store URL; {text!r} is none")
    if parts.query or parts.fragment:
        raise BadInput("SOURCE is a base address, without ? and #")
    base = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
    if host == "zendesk.com" or host.endswith(".zendesk.com"):
        account = _first_label(host)
        return Source("http", base, base, account, ZENDESK_REQUESTS_PER_MINUTE, ZENDESK_FOLLOW_SECONDS, True)
    return Source("http", base, base, _first_label(host))


def _first_label(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.partition(".")[0] if "." in host else None
    return None


def _without_user(url: str) -> str:
    """A database's address may carry a password, before the host or as a parameter."""
    if not url.startswith("postgres"):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
