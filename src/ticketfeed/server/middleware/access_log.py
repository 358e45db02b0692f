"""A request id for every answer, and one log line for every request; listeners are called with the same values.

The line holds no secret: no Authorization header, and of the query, values with the name of a secret are masked. An
error that nobody expected is logged here, once and under the same id, and answered in the wire's shape.
"""

import asyncio
import itertools
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketfeed.logs import REQUEST_ID
from ticketfeed.protocol.errors import InternalServerError, InvalidEndpoint, ServerBusy, WireError
from ticketfeed.protocol.query import parse_query
from ticketfeed.server.ops.usage_tracker import Answered, logged_path
from ticketfeed.server.request_context import begin
from ticketfeed.server.responses import error_response
from ticketfeed.storage.wait_budget import begin_waits

__all__ = ["AccessLog", "logged_query"]

# Bounds on what a line repeats of a request.
_PARAMETERS_MAX = 30
_NAME_CHARS_MAX = 60
_TEXT_CHARS_MAX = 500
_RETRY_AFTER_SECONDS = 5
# As OpenTelemetry writes it.
_MASK = "REDACTED"
# `code` and `key` stand in harmless words, so they match as whole words only: `code_verifier`, not `encoded`.
_SECRET_NAME = re.compile(
    r"token|secret|passw|credential|authorization|signature|apikey|(?<![a-z])(?:code|key)(?![a-z])", re.IGNORECASE
)
_PARAMETER_INSIDE = re.compile(r"([\w.\[\]-]*)=[^&#?\s]*")

_log = logging.getLogger("ticketfeed.access")
_server_log = logging.getLogger("ticketfeed.server")


class AccessLog:
    """The outermost middleware. `listeners` are called with each request once it is answered."""

    def __init__(self, app: ASGIApp, listeners: Sequence[Callable[[Answered], None]] = ()) -> None:
        self._app, self._listeners = app, listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id, context = time.perf_counter(), _new_request_id(), begin(scope)
        REQUEST_ID.set(request_id)
        begin_waits()
        status, sent, is_ended, retry_after = 0, 0, False, ""

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent, is_ended, retry_after
            if message["type"] == "http.response.start":
                status = message["status"]
                seconds = time.perf_counter() - started
                if status >= 400:
                    retry_after = _header(message, b"retry-after")
                message["headers"] += [
                    (b"x-request-id", request_id.encode()),
                    (b"x-runtime", b"%.6f" % seconds),
                ]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)
            is_ended = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:  # while its body was read
            status = context.cut_status
        except asyncio.CancelledError:  # the server ends, and has waited long enough
            if status:
                raise
            busy = ServerBusy("the server is shutting down", _RETRY_AFTER_SECONDS)
            await error_response(Request(scope), busy)(scope, receive, send_with_id)
        except Exception as error:
            wire_error = _wire_error(error)
            if status:  # part of an answer is out: all that is left is to break the connection
                raise
            await error_response(Request(scope), wire_error)(scope, receive, send_with_id)
        finally:
            query, seconds = logged_query(scope["query_string"]), time.perf_counter() - started
            is_whole = (is_ended or context.is_body_sent) and scope["method"] == "GET"
            answered = Answered(scope, context, request_id, query, status, sent, seconds, is_whole, retry_after)
            for listener in self._listeners:
                listener(answered)
            if _log.isEnabledFor(logging.INFO):
                _write_line(answered)


def _header(message: Message, name: bytes) -> str:
    found: bytes = next((value for each, value in message["headers"] if each.lower() == name), b"")
    return found.decode("latin-1")


def _wire_error(error: Exception) -> WireError:
    """The error to answer with. Errors of this server are logged."""
    if isinstance(error, HTTPException):  # no such path, or not with this method: the wire makes no difference
        return InvalidEndpoint()
    if not isinstance(error, WireError):
        _log.error("unexpected error", exc_info=error)
        return InternalServerError()
    if error.status >= 500:
        _server_log.warning(str(error))
    return error


def _write_line(answered: Answered) -> None:
    line = {
        "request_id": answered.request_id,
        "method": answered.scope["method"],
        "path": logged_path(answered.scope),
        "query": answered.query,
        "status": answered.status,
        "bytes": answered.sent,
        "ms": round(answered.seconds * 1000, 2),
        "client": (answered.scope.get("client") or ("",))[0],
    }
    if answered.context.faults:
        line["faults"] = " ".join(answered.context.faults)
    # As _log.info makes it, without the search for the caller.
    record = logging.LogRecord(_log.name, logging.INFO, __file__, 0, "request", None, None)
    record.line = line
    _log.handle(record)


def _new_request_id() -> str:
    """Like a UUID. It is no secret, so the system's random source is not needed."""
    digits = f"{random.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@lru_cache(1024)
def logged_query(query: bytes) -> dict[str, str]:
    """The parameters of a query as the log shows them: bounded, with secrets masked."""
    parameters = parse_query(query.decode("latin-1"))
    return {
        _shorten(name, _NAME_CHARS_MAX): _MASK if _SECRET_NAME.search(name) else _mask(_shorten(text, _TEXT_CHARS_MAX))
        for name, text in itertools.islice(parameters.items(), _PARAMETERS_MAX)
    }


def _mask(text: str) -> str:
    """A value may be an address with a query of its own. It is short: the pattern takes quadratic time."""

    def mask(found: re.Match[str]) -> str:
        return f"{found[1]}={_MASK}" if _SECRET_NAME.search(found[1]) else found[0]

    return _PARAMETER_INSIDE.sub(mask, text)


def _shorten(text: str, chars_max: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:chars_max])
