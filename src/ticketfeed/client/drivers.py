"""Drivers of a flow, one for threads and one for asyncio. They carry out its steps and decide nothing."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ticketfeed.client.auth import TokenFile
from ticketfeed.client.renewal import renew
from ticketfeed.client.session import Flow
from ticketfeed.client.steps import (
    Answer,
    ExportPage,
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
from ticketfeed.client.transport import Transport
from ticketfeed.clock import system_instant

__all__ = ["SharedBudget", "Sleep", "Ways", "drive", "drive_async", "returned", "returned_async"]

T = TypeVar("T")

Sleep = Callable[[Wait], None]
SleepAsync = Callable[[Wait], Awaitable[None]]


class SharedBudget(Protocol):
    """Where the requests of several processes are counted (protocol/request_budget.py)."""

    async def take(self, now: float) -> tuple[float, str]:
        """Count a request: 0 and no reason. If none may be sent: for how many seconds to wait, and why."""

    async def report(self, answer: Answer) -> None:
        """Learn from an answer's status and headers."""


def drive(
    flow: Flow[Any], transport: Transport, tokens: TokenFile | None, sleep: Sleep | None = None
) -> Iterator[ExportPage]:
    """The pages of a flow, one after the other. `sleep` receives the seconds and the reason."""
    with contextlib.suppress(StopIteration):
        step = next(flow)
        while True:
            if isinstance(step, ExportPage):
                yield step
                reply: Reply = Resumed(system_instant())
            elif isinstance(step, Wait):
                (sleep or _sleep)(step)
                reply = Resumed(system_instant())
            else:
                reply = _take(step, transport, tokens)
            step = flow.send(reply)


@dataclass(frozen=True, slots=True)
class Ways:
    """How a driver for asyncio carries out steps; each has a default."""

    sleep: SleepAsync | None = None
    budget: SharedBudget | None = None
    clock: Callable[[], float] = system_instant


async def drive_async(
    flow: Flow[Any], transport: Transport, tokens: TokenFile | None, ways: Ways = Ways()
) -> AsyncGenerator[ExportPage, None]:
    """The same for asyncio: requests and files are taken to a thread, one at a time; waits leave the loop free."""
    with contextlib.suppress(StopIteration):
        step = next(flow)
        while True:
            if isinstance(step, ExportPage):
                yield step
                reply: Reply = Resumed(ways.clock())
            else:
                reply = await _take_async(step, transport, tokens, ways)
            step = flow.send(reply)


async def returned_async(flow: Flow[T], transport: Transport, tokens: TokenFile | None, ways: Ways = Ways()) -> T:
    """What a flow that gives no pages returns, for asyncio."""
    reply: Reply | None = None
    while True:
        try:
            step = next(flow) if reply is None else flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply = await _take_async(step, transport, tokens, ways)


async def _take_async(step: Step, transport: Transport, tokens: TokenFile | None, ways: Ways) -> Reply:
    match step:
        case Request():
            return await _send(transport, step)
        case Wait():
            await (ways.sleep or _sleep_async)(step)
            return Resumed(ways.clock())
        case TakeRequest():
            taken = await ways.budget.take(ways.clock()) if ways.budget else (0.0, "")
            return Resumed(ways.clock(), taken)
        case ReportAnswer(answer):
            if ways.budget:
                await ways.budget.report(answer)
            return Resumed(ways.clock())
    return await asyncio.to_thread(_take, step, transport, tokens)


async def _send(transport: Transport, request: Request) -> Answer | Failed:
    """In a thread that ends with the process: a source may be silent for minutes, and nobody waits for that then."""
    sent: Future[Answer | Failed] = Future()
    sent.set_running_or_notify_cancel()

    def send() -> None:
        try:
            sent.set_result(transport.send(request))
        except BaseException as error:
            sent.set_exception(error)

    threading.Thread(target=send, name="ticketfeed-source", daemon=True).start()
    return await asyncio.wrap_future(sent)


def returned(flow: Flow[T], transport: Transport, tokens: TokenFile | None) -> T:
    """What a flow that gives no pages returns."""
    step = next(flow)
    while True:
        if isinstance(step, Wait):
            _sleep(step)
            reply: Reply = Resumed(system_instant())
        else:
            reply = _take(step, transport, tokens)
        try:
            step = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result


def _take(step: Step, transport: Transport, tokens: TokenFile | None) -> Reply:
    match step:
        case Request():
            return transport.send(step)
        case ReadTokens():
            return Resumed(system_instant(), _file(tokens).read())
        case RenewTokens(request):
            return renew(request, _file(tokens))
        case ReleaseTokens():
            _file(tokens).close()
            return Resumed(system_instant())
    raise TypeError(f"not a step of a flow: {step!r}")


def _file(tokens: TokenFile | None) -> TokenFile:
    if tokens is None:
        raise TypeError("the flow requires a token file, and there is none")
    return tokens


def _sleep(step: Wait) -> None:
    time.sleep(step.seconds)


async def _sleep_async(step: Wait) -> None:
    await asyncio.sleep(step.seconds)
