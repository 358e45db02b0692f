"""A session with a source: credentials, request rate, retries. Streams send their requests through it.

What passes by itself (429, 5xx, no answer) is waited out for `give_up_after_seconds` in a row. An answer that should
be a page and is none is retried a few times, since a proxy may have answered for the source; for ever where nothing is
given up. Everything else is final.
"""

import math
import random as chance
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from ticketfeed.client.oauth import (
    Basic,
    Bearer,
    ClientCredentials,
    Credentials,
    RefreshToken,
    Tokens,
    parse_token_answer,
    parse_token_file,
)
from ticketfeed.client.page_parser import NotAPage, error_text
from ticketfeed.client.retry import Pace, backoff, retry_after, window_reset
from ticketfeed.client.steps import (
    Answer,
    Failed,
    ReadTokens,
    ReleaseTokens,
    RenewTokens,
    Reply,
    ReportAnswer,
    Request,
    Resumed,
    Step,
    TakeRequest,
    Wait,
)
from ticketfeed.protocol.errors import SourceError, SourceRefused

__all__ = ["Flow", "Patience", "Session"]

T = TypeVar("T")
Flow: TypeAlias = Generator[Step, Reply, T]

# Enough for a proxy to be restarted (15 seconds of backoff); an address that is no help desk is reported soon.
NOT_A_PAGE_TRIES = 5
# The least age of a start_time: one minute on the wire.
START_TIME_AGE_SECONDS = 61.0
# Between two looks at a shared budget that is spent.
BUDGET_SECONDS_MAX = 2.0
_PASSING = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Patience:
    """The request rate and the retries allowed. `per_page`: the most records of a page.

    `shares_budget`: requests are counted where other processes count theirs, instead of by `requests_per_minute`.
    """

    per_page: int = 1000
    requests_per_minute: int | None = None
    give_up_after_seconds: float = 3600.0
    shares_budget: bool = False


class Session:
    """What the streams of one run share. `now` is the time of the last reply."""

    def __init__(
        self,
        patience: Patience,
        credentials: Credentials | None,
        now: float,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.now = now
        self.requests = 0
        self.waited_seconds = 0.0
        self.per_page = patience.per_page
        self._patience = patience
        self._random = random
        self._pace = Pace(patience.requests_per_minute)
        self._window_ends = 0.0
        self._trouble_since: float | None = None
        self._good_pages = 0
        self._credentials = credentials
        self._tokens = Tokens()
        self._refused: str | None = None

    @property
    def is_troubled(self) -> bool:
        """Whether the source has not answered a request since something went wrong."""
        return self._trouble_since is not None

    def ask(
        self, build: Callable[[int], Request], parse: Callable[[Answer], T], *, start_time: float | None = None
    ) -> Flow[T]:
        """Send `build(per_page)` until `parse` takes the answer. `start_time`: the one in it, if any.

        Raises SourceError.
        """
        attempt, unusable, renewed = 0, 0, False
        while True:
            yield from self._take_request()
            yield from self._authorize()  # behind the waits, in which a token may have died
            request = build(self.per_page)
            reply = yield from self._send(self._with_credentials(request))
            attempt += 1
            if isinstance(reply, Answer) and reply.status == 200:
                try:
                    result = parse(reply)
                except NotAPage as error:
                    unusable += 1
                    if unusable >= NOT_A_PAGE_TRIES and not math.isinf(self._patience.give_up_after_seconds):
                        raise SourceError(f"{_path(request)}: {error}") from None
                    yield from self._wait(backoff(unusable, self._random), str(error))
                    continue
                self._succeeded()
                return result
            if isinstance(reply, Answer) and reply.status == 401 and self._can_renew and not renewed:
                renewed, self._refused, self._tokens = True, self._tokens.access_token, Tokens()
                continue
            yield from self._wait_out(request, reply, attempt, start_time)

    def pause(self, seconds: float, reason: str) -> Flow[None]:
        """Wait because it is right to, not because something is wrong."""
        if seconds > 0:
            reply = yield Wait(seconds, reason)
            self.now, self.waited_seconds = reply.at, self.waited_seconds + seconds

    def resumed(self, reply: Reply) -> None:
        """Take the time from a reply to a page, which its reader may have held for hours."""
        self.now = reply.at

    def _take_request(self) -> Flow[None]:
        if not self._patience.shares_budget:
            yield from self.pause(self._pace.wait_seconds(self.now), "the budget of requests a minute is spent")
            yield from self.pause(self._window_ends - self.now, "the source's rate limit is spent")
            return
        while True:
            reply = yield TakeRequest()
            self.now = reply.at
            seconds, reason = reply.value if isinstance(reply, Resumed) else (0.0, "")
            if seconds <= 0:
                return
            # Asked again soon: an operator, or another process, may change the budget meanwhile.
            yield from self.pause(min(seconds, BUDGET_SECONDS_MAX), reason)

    def _send(self, request: Request) -> Flow[Answer | Failed]:
        self._pace.sent(self.now)
        reply = yield request
        self.now, self.requests = reply.at, self.requests + 1
        if isinstance(reply, Answer):
            self._window_ends = self.now + window_reset(reply.headers)
            if self._patience.shares_budget:
                yield ReportAnswer(reply)
            return reply
        return reply if isinstance(reply, Failed) else Failed("the driver gave no answer", False, reply.at)

    def _wait_out(self, request: Request, reply: Answer | Failed, attempt: int, start_time: float | None) -> Flow[None]:
        """Wait where the fault may pass. Raises SourceError where it does not."""
        seconds = backoff(attempt, self._random)
        if isinstance(reply, Failed):
            if reply.timed_out:
                self._halve()
            yield from self._wait(seconds, reply.text)
            return
        message = error_text(reply.body)
        if start_time is not None and reply.status in (400, 422) and _is_too_recent(message):
            yield from self._wait(max(1.0, start_time + START_TIME_AGE_SECONDS - self.now), message)
            return
        if reply.status < 500 and reply.status not in _PASSING:
            raise SourceRefused(_refusal(_path(request), reply, message), reply.status)
        if reply.status == 504:
            self._halve()
        delay = retry_after(reply.headers, self.now)
        reason = f"the source answered {reply.status}" + (f" ({message})" if message else "")
        yield from self._wait(seconds if delay is None else delay, reason)

    def _wait(self, seconds: float, reason: str) -> Flow[None]:
        if self._trouble_since is None:
            self._trouble_since = self.now
        limit = self._patience.give_up_after_seconds
        if self.now + seconds - self._trouble_since > limit:
            waited = self.now - self._trouble_since
            raise SourceError(f"{reason}; gave up after {waited:.0f} s (the next try is due in {seconds:.0f} s)")
        yield from self.pause(seconds, reason)

    def _succeeded(self) -> None:
        self._trouble_since = None
        self._good_pages += 1
        if self._good_pages >= 5 and self.per_page < self._patience.per_page:
            self.per_page, self._good_pages = min(self.per_page * 2, self._patience.per_page), 0

    def _halve(self) -> None:
        self.per_page, self._good_pages = max(1, self.per_page // 2), 0

    @property
    def _can_renew(self) -> bool:
        return isinstance(self._credentials, ClientCredentials | RefreshToken)

    def _with_credentials(self, request: Request) -> Request:
        credentials = self._credentials
        if credentials is None:
            return request
        header = credentials.header() if isinstance(credentials, Basic | Bearer) else self._tokens.header()
        return replace(request, headers={**request.headers, "authorization": header})

    def _authorize(self) -> Flow[None]:
        credentials = self._credentials
        if isinstance(credentials, ClientCredentials) and not self._tokens.is_fresh(self.now):
            self._tokens = yield from self._renew(credentials, self._tokens)
        elif isinstance(credentials, RefreshToken) and not self._tokens.is_fresh(self.now):
            yield from self._refresh(credentials)

    def _refresh(self, credentials: RefreshToken) -> Flow[None]:
        """Renew the pair in the token file, unless another process has done so. It is in the file before it is used."""
        reply = yield ReadTokens()
        self.now = reply.at
        try:
            stored = parse_token_file(bytes(reply.value if isinstance(reply, Resumed) else b""), credentials.file)
            if stored.access_token == self._refused or not stored.is_fresh(self.now):
                stored = yield from self._renew(credentials, stored)
        except SourceError:
            yield ReleaseTokens()
            raise
        reply = yield ReleaseTokens()
        self.now, self._tokens = reply.at, stored

    def _renew(self, credentials: ClientCredentials | RefreshToken, before: Tokens) -> Flow[Tokens]:
        attempt = 0
        while True:
            request = credentials.request(before)
            reply = yield RenewTokens(request) if isinstance(credentials, RefreshToken) else request
            self.now, self.requests, attempt = reply.at, self.requests + 1, attempt + 1
            if isinstance(reply, Answer) and 200 <= reply.status < 300:
                return parse_token_answer(reply, before)
            if isinstance(reply, Answer) and reply.status < 500 and reply.status not in _PASSING:
                raise SourceError(_token_refusal(credentials, reply))
            if isinstance(reply, Answer | Failed):
                yield from self._wait_out(request, reply, attempt, None)


def _path(request: Request) -> str:
    return request.target.partition("?")[0]


def _is_too_recent(message: str) -> bool:
    return "StartTimeTooRecent" in message or "Too recent start_time" in message


def _refusal(path: str, answer: Answer, message: str) -> str:
    status, message = answer.status, message or "no message"
    if status == 401:
        return f"the source refuses the credentials (401): {message}"
    if status == 403:
        return (
            f"these credentials may not read {path} (403): {message}; exports need an admin, and OAuth the scope read"
        )
    if status == 404:
        return f"the source has nothing at {path} (404): {message}; check its address"
    if 300 <= status < 400:
        return f"the source redirects to {answer.headers.get('location', 'nowhere')}; give that address as SOURCE"
    return f"the source refuses {path} ({status}): {message}"


def _token_refusal(credentials: ClientCredentials | RefreshToken, answer: Answer) -> str:
    message = error_text(answer.body)
    if isinstance(credentials, RefreshToken) and "invalid_grant" in message:
        problem = f"the refresh token in {credentials.file} is spent, expired or revoked"
        return f"{problem}; authorize the client again ({message})"
    return f"the token endpoint refuses the client ({answer.status}): {message}"
