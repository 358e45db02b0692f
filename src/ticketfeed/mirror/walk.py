"""The walk of a mirror through its source, without any input or output of its own.

It reads the pages of the exporter's flow (client/flow.py), one at a time, of the stream that is most behind
(schedule.py). Whoever drives it applies each page and tells it how the streams then are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from ticketfeed.client.flow import Plan, read_page
from ticketfeed.client.session import Flow, Session
from ticketfeed.client.steps import ExportPage
from ticketfeed.mirror.schedule import MirrorStream, Turn, choose_turn
from ticketfeed.protocol.errors import SourceRefused
from ticketfeed.protocol.mirrors import StreamState

__all__ = ["FOR_CHANGES", "MirrorWalk"]

# Of a stream whose cursor the source no longer accepts, so much is read again.
OVERLAP_SECONDS = 600
# The answers that say that it is the cursor which is wrong.
_CURSOR_REFUSED = frozenset({400, 404, 410, 422})
FOR_CHANGES = "for changes"


@dataclass
class MirrorWalk:
    """One walk. `states`: of the streams, which the driver updates after each page. `requests_per_minute`: of the
    budget at this moment. `once`: end when every stream has been read to its end. `note`: is told what happened that
    an operator should know.
    """

    streams: Sequence[MirrorStream]
    states: dict[str, StreamState]
    requests_per_minute: Callable[[], int | None]
    note: Callable[[str], None]
    once: bool = False
    _ended: set[str] = field(default_factory=set)

    def pages(self, session: Session) -> Flow[None]:
        """Pages, each of which is to be applied before the walk goes on. Raises SourceError."""
        plan = Plan(optional=[stream.name for stream in self.streams if stream.is_list])
        while True:
            turn = self._choose(session.now)
            if turn.stream is None:
                if self.once and not turn.wait_seconds:
                    return
                yield from session.pause(turn.wait_seconds, FOR_CHANGES)
                continue
            page = yield from self._read(plan, turn.stream, session)
            session.resumed((yield page))
            if page.end_of_stream:
                self._ended.add(page.stream)

    def _choose(self, now: float) -> Turn:
        if not self.once:
            return choose_turn(self.streams, self.states, now, self.requests_per_minute())
        left = [stream for stream in self.streams if stream.name not in self._ended]
        states = {stream.name: self.states.get(stream.name, StreamState()) for stream in left}
        unfinished = {name: msgspec.structs.replace(state, has_ended=False) for name, state in states.items()}
        if not left:
            return Turn(None)
        turn = choose_turn(left, unfinished, now, self.requests_per_minute())
        return turn if turn.stream else Turn(left[0])

    def _read(self, plan: Plan, stream: MirrorStream, session: Session) -> Flow[ExportPage]:
        state = self.states.get(stream.name, StreamState())
        try:
            return (yield from read_page(plan, stream.stream, state.state, session))
        except SourceRefused as error:
            if "cursor" not in state.state or error.status not in _CURSOR_REFUSED:
                raise
            begin = max(0, state.passed - OVERLAP_SECONDS)
            page = yield from read_page(plan, stream.stream, {"start_time": begin}, session)
            self.note(f"the source refused the cursor of {stream.name}, which is read again from {begin} on: {error}")
            return page
