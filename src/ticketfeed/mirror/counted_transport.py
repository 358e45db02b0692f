"""A transport that counts its requests and its faults."""

from collections import deque
from collections.abc import Callable

from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.client.transport import Transport

__all__ = ["CountedTransport"]


class CountedTransport:
    """`faults`: failed requests and errors of the source, which whoever has looked into them takes off again."""

    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self._transport, self._clock = transport, clock
        self._sent: deque[float] = deque(maxlen=10_000)
        self.faults = 0

    def send(self, request: Request) -> Answer | Failed:
        self._sent.append(self._clock())
        reply = self._transport.send(request)
        self.faults += isinstance(reply, Failed) or reply.status >= 500
        return reply

    def close(self) -> None:
        self._transport.close()

    def count_lately(self, now: float) -> int:
        """The requests of the last minute."""
        return sum(now - 60.0 < moment <= now for moment in list(self._sent))
