"""What is learned of a request while it is answered: for the log, the metrics, and the notes of consumers."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from ticketfeed.protocol.consumers import Served
from ticketfeed.protocol.model import Account, Identity

__all__ = ["RequestContext", "begin", "comes_from_another_origin", "find_request_context", "request_context"]

_KEY = "ticketfeed.seen"


@dataclass(slots=True)
class RequestContext:
    """`endpoint`: the address as the table of routes has it. `error`: why it was refused. `faults`: the scenarios that
    fired at it. `is_body_sent`: its whole body was sent, although the connection was cut before its end was marked.

    `cut_status`: how a request counts whose connection ended before its body; 499 is nginx's number for a client that
    closed it.
    """

    account: Account | None = None
    identity: Identity | None = None
    endpoint: str = ""
    served: Served | None = None
    error: str = ""
    cut_status: int = 499
    faults: tuple[str, ...] = ()
    is_body_sent: bool = False


def begin(scope: MutableMapping[str, Any]) -> RequestContext:
    """Where everything about this request is to be put."""
    scope[_KEY] = begun = RequestContext()
    return begun


def request_context(scope: MutableMapping[str, Any]) -> RequestContext:
    """What is known of it so far."""
    found: RequestContext = scope[_KEY]
    return found


def find_request_context(scope: Mapping[str, Any]) -> RequestContext | None:
    """The same, if the request has reached the application."""
    found: RequestContext | None = scope.get(_KEY)
    return found


def comes_from_another_origin(request: Request) -> bool:
    """Whether a browser sent it for a page of another origin, in whose name the user did not mean to act.

    Old browsers send no Sec-Fetch-Site. A proxy may change the host: then theirs count as another origin, too.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin.rpartition("://")[2] != request.headers.get("host")
