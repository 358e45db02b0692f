"""Drives a flow by hand: answers are given one after the other, waits pass at once, and everything is noted."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ticketfeed.client.flow import Plan, walk
from ticketfeed.client.oauth import Credentials, parse_token_answer, parse_token_file
from ticketfeed.client.session import Session
from ticketfeed.client.steps import (
    Answer,
    ExportPage,
    Failed,
    ReadTokens,
    ReleaseTokens,
    RenewTokens,
    Reply,
    Request,
    Resumed,
    Wait,
)
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.model import Position

START = 1_800_000_000.0

# What a source does with a request: an answer, or a failure.
Reaction = Callable[[Request, float], Answer | Failed]


def cursor(second: int, id: int) -> str:
    return encode_cursor(Position(second, id))


def ticket(id: int, second: int, **more: Any) -> dict[str, Any]:
    return {"id": id, "generated_timestamp": second, "status": "open", **more}


def answer(status: int, body: Any = b"", **headers: str) -> Reaction:
    """An answer; header names have _ for -."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request, now: Answer(status, named, content, now)


def page(tickets: Sequence[Mapping[str, Any]], after: str | None, end: bool, key: str = "tickets") -> Reaction:
    return answer(200, {key: list(tickets), "after_url": None, "after_cursor": after, "end_of_stream": end})


def failure(text: str = "connection reset", timed_out: bool = False) -> Reaction:
    return lambda _request, now: Failed(text, timed_out, now)


class Playbook:
    """One walk. `requests`, `waits` and `pages` are what it did; `token_file` is what the file holds."""

    def __init__(
        self,
        *reactions: Reaction,
        plan: Plan | None = None,
        states: Mapping[str, Mapping[str, Any]] | None = None,
        credentials: Credentials | None = None,
        token_file: bytes = b"",
    ) -> None:
        self._reactions = list(reactions)
        self.now = START
        self.requests: list[Request] = []
        self.waits: list[Wait] = []
        self.pages: list[ExportPage] = []
        self.token_file, self.is_locked = token_file, False
        plan = plan or Plan()
        self.session = Session(plan.patience, credentials, self.now, random=lambda: 1.0)
        self._flow = walk(plan, states or {}, self.session)

    def run(self) -> "Playbook":
        """To the end of the flow. Raises what the flow raises; every answer must have been used."""
        reply: Reply | None = None
        while True:
            try:
                step = self._flow.send(reply)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration:
                break
            match step:
                case Request():
                    reply = self._answer(step)
                case Wait():
                    self.waits.append(step)
                    self.now += step.seconds
                    reply = Resumed(self.now)
                case ReadTokens():
                    assert not self.is_locked
                    self.is_locked = True
                    reply = Resumed(self.now, self.token_file)
                case RenewTokens(request):
                    assert self.is_locked
                    reply = self._answer(request)
                    if isinstance(reply, Answer) and reply.status < 300:
                        before = parse_token_file(self.token_file, "tokens.json")
                        self.token_file = parse_token_answer(reply, before).encode()
                case ReleaseTokens():
                    assert self.is_locked
                    self.is_locked = False
                    reply = Resumed(self.now)
                case ExportPage():
                    self.pages.append(step)
                    reply = Resumed(self.now)
        assert not self._reactions, "answers that nothing asked for"
        return self

    def _answer(self, request: Request) -> Answer | Failed:
        self.requests.append(request)
        assert self._reactions, f"one request too many: {request.target}"
        return self._reactions.pop(0)(request, self.now)

    @property
    def ids(self) -> list[int]:
        return [json.loads(record)["id"] for page in self.pages for record in page.records]

    def queries(self) -> list[dict[str, str]]:
        return [{k: v[-1] for k, v in parse_qs(urlsplit(r.target).query).items()} for r in self.requests]
