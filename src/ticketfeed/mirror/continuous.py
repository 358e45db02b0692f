"""The verification of a mirror that runs: a page of an export at a time, from its beginning to its end and again.

It is done between two pages of the walk, only where that has caught up, and takes a small share of the requests. Lists
are left out: the walk itself reads them whole again and again, and makes what is held like them.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Sequence

from ticketfeed.mirror.comparison import Difference
from ticketfeed.mirror.schedule import MirrorStream
from ticketfeed.mirror.verify import LAG_SECONDS, Look, TooFarBehind, Verifier, Window
from ticketfeed.protocol.mirrors import Mirror

__all__ = ["ContinuousVerification"]

# One in so many requests; where nothing limits them, one in so many seconds.
SHARE, UNLIMITED_SECONDS = 20, 6.0
# So many of a minute's requests must be left: its own, and the next ones of the walk, which are not to wait for it.
SPARE = 3
# Each is kept with its record.
FOUND_MAX = 1000


class ContinuousVerification:
    """`budget`: how many requests a minute may be sent, None for no limit, and how many were sent in the last one.
    `note`: is told of each difference, in a line.

    `verified_at`: when something was last compared, with nothing left to be looked at again.
    """

    def __init__(
        self,
        verifier: Verifier,
        streams: Sequence[MirrorStream],
        budget: Callable[[], tuple[int | None, int]],
        note: Callable[[str], None],
    ) -> None:
        self._verifier, self._budget, self._note = verifier, budget, note
        self._streams = deque(stream for stream in streams if not stream.is_list)
        self._streams.rotate(random.randrange(len(self._streams)))
        self._place: Window | None = None
        self._looks: deque[Look] = deque()
        self._elsewhere: deque[Window] = deque()
        self._asked_at, self._requests = -math.inf, 1
        self._found: dict[tuple[str, int], Difference] = {}
        self.verified_at: int | None = None

    @property
    def differences(self) -> int:
        """How many were found that are here as they were then, FOUND_MAX at most."""
        return len(self._found)

    def is_due(self, mirror: Mirror, now: float) -> bool:
        """Whether a request may be sent: the walk has caught up, and the share is not spent."""
        if not all(mirror.stream(stream.name).has_ended for stream in self._streams):
            return False
        limit, sent = self._budget()
        if limit is None:
            return now - self._asked_at >= UNLIMITED_SECONDS
        return sent + SPARE <= limit and now - self._asked_at >= self._requests * 60.0 * SHARE / limit

    async def step(self, now: float) -> None:
        """Look at a page, or again at what differed. Raises SourceError."""
        self._asked_at, before = now, self._verifier.requests
        if self._looks and now - self._looks[0].at >= LAG_SECONDS:
            await self._look_again(self._looks.popleft())
        else:
            await self._look_on()
        held = await self._verifier.find(self._found)
        self._found = {key: each for key, each in self._found.items() if held.get(key) == each.here}
        if not self._looks:
            self.verified_at = int(now)
        self._requests = self._verifier.requests - before

    async def _look_on(self) -> None:
        if self._elsewhere:
            window = self._elsewhere.popleft()
            look = await self._verifier.look(window)
            seen = max(window.state["start_time"], look.passed)
            elsewhere = {id: second for id, second in window.expected.items() if second > seen}
        else:
            # The first of a run begins anywhere, as one that is often started again would only see beginnings.
            place = self._place or await self._verifier.anywhere(self._streams[0])
            look = await self._verifier.look(place)
            self._place = look.following
            if self._place is None:
                self._streams.rotate(-1)
                self._place = Window(self._streams[0], {"start_time": 0})
            elsewhere = look.elsewhere
        if elsewhere:
            start = min(elsewhere.values())
            self._elsewhere.append(Window(look.stream, {"start_time": start}, expected=elsewhere))
        if look.differences:
            self._looks.append(look)

    async def _look_again(self, look: Look) -> None:
        try:
            found = await self._verifier.settled(await self._verifier.look_again(look), tuple(self._streams))
        except TooFarBehind:
            return
        for each in found:
            if each.key not in self._found:
                self._note("the mirror differs from its source: " + each.line().replace("\t", " "))
            if each.key in self._found or len(self._found) < FOUND_MAX:
                self._found[each.key] = each
