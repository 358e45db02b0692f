"""One request to an ASGI application in this process: no socket, the same answer."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

__all__ = ["Answer", "call_app"]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


async def call_app(
    app: ASGIApp,
    target: str,
    *,
    host: str | None,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    scheme: str = "http",
    body: bytes = b"",
    client: str = "127.0.0.1",
) -> Answer:
    """Ask for `target`, a path with or without a query."""
    path, _, query = target.partition("?")
    named = [("host", host), *headers] if host is not None else headers
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": _encode(path),
        "query_string": _encode(query),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named],
        "server": (host, 80),
        "client": (client, 0),
        "root_path": "",
    }
    sent: list[Message] = []
    to_receive: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    is_ended = asyncio.Event()

    async def receive() -> Message:
        if to_receive:
            return to_receive.pop()
        await is_ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_ended.set()

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    answered = b"".join(message.get("body", b"") for message in sent)
    return Answer(start["status"], Headers(raw=start["headers"]), answered)


def _encode(text: str) -> bytes:
    """The bytes that stood on the command line, whatever they were."""
    return text.encode("utf-8", "surrogateescape")
