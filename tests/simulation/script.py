"""One integer seed -> the steps of a run: who does what, in which order, under which clocks.

A script knows nothing of any store, so that two stores can be taken through the same one. A run has several
processes on one store, each with a clock of its own, which may stand, jump, and be far off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

PROCESSES = 2
ACCOUNTS = ("acme", "other")
START_SECOND = 1_700_000_000
SCOPES: tuple[Literal["all", "agent", "ai_agent"], ...] = ("all", "agent", "ai_agent")


class Entry(NamedTuple):
    """One draft of a write."""

    id: int
    second: int
    status: str
    support_type: str | None


@dataclass(frozen=True, slots=True)
class Tick:
    """The clock of a process moves by this many seconds."""

    process: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Write:
    """A process puts these drafts in one transaction. `keep`: a load of history, where the account is empty.
    `fails`: the work raises when it has put them."""

    process: int
    account: int
    entries: tuple[Entry, ...]
    keep: bool = False
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """A write that has begun and put its drafts, and is not over until the next Release. `behind` more writes wait
    for it in the same process; they all fail when their turn comes, so that their order does not matter."""

    write: Write
    behind: int


@dataclass(frozen=True, slots=True)
class Release:
    """The write in flight commits, or, where it `fails`, is rolled back."""


@dataclass(frozen=True, slots=True)
class Arrive:
    """A reader comes. Its clock may be off from that of the process that answers it."""

    reader: int
    account: int
    start_time: int
    exclude_deleted: bool
    scope: str
    settle_seconds: int
    ahead_seconds: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A reader asks a process for `pages` pages, or fewer where the stream ends."""

    process: int
    reader: int
    per_page: int
    pages: int
    include: str


@dataclass(frozen=True, slots=True)
class Close:
    """A process asks for the newest second to be closed."""

    process: int
    account: int


@dataclass(frozen=True, slots=True)
class Fence:
    """A process raises the watermark past whatever clocks this far off can have given out."""

    process: int
    account: int
    clock_error_seconds: int


@dataclass(frozen=True, slots=True)
class Reopen:
    """A process ends and comes back. `crashes`: its store is never closed."""

    process: int
    crashes: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A process moves the clock of an account, and goes by it from then on. `frozen`: it stands."""

    process: int
    account: int
    seconds: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class Follow:
    """A process goes by the clocks of accounts as they are stored."""

    process: int


Step = Tick | Write | Hold | Release | Arrive | Ask | Close | Fence | Reopen | Move | Follow


def make_script(seed: int, steps: int) -> list[Step]:
    """The steps of this seed."""
    written = _Author(Random(seed)).steps(steps)
    return list(_with_moves(written, Random(-1 - seed)) if seed % 2 else written)


def _with_moves(steps: Iterator[Step], random: Random) -> Iterator[Step]:
    """The steps, and between them clocks of accounts that jump, forward and back."""
    is_held = False
    for step in steps:
        if not is_held and random.random() < 0.06:
            seconds = random.choice([0, 1, 90, 1800, 30 * 86400, -1, -90, -1800, -30 * 86400])
            yield Move(random.randrange(PROCESSES), random.choice([0, 0, 1]), seconds, random.random() < 0.3)
        if random.random() < 0.06:
            yield Follow(random.randrange(PROCESSES))
        is_held = isinstance(step, Hold) or (is_held and not isinstance(step, Release))
        yield step


class _Author:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._wildness = random.choice([0.0, 0.1, 0.4])
        self._ids = [*range(1, random.choice([4, 30, 300])), 2**40 + 1, 2**63 - 1]
        self._bulk_max = random.choice([5, 60, 700])
        self._readers: list[Arrive] = []
        self._held: Hold | None = None

    def steps(self, count: int) -> Iterator[Step]:
        yield from self._first_load()
        kinds = [self._tick, self._write, self._hold, self._arrive, self._ask, self._close, self._fence, self._reopen]
        weights = [18, 30, 6, 4, 40, 8, 1, 2]
        for _ in range(count):
            if self._held and self._random.random() < 0.3:
                self._held = None
                yield Release()
                continue
            [kind] = self._random.choices(kinds, weights)
            if step := kind():
                yield step
        if self._held:
            yield Release()

    def _first_load(self) -> Iterator[Step]:
        """Half of the worlds begin with history in one account."""
        if self._random.random() < 0.5:
            count = self._random.choice([1, 40, 900])
            seconds = [START_SECOND - self._random.randrange(1, 200_000) for _ in range(count)]
            entries = tuple(self._entry(self._random.randrange(1, 2 * count + 1), second) for second in seconds)
            yield Write(0, 0, entries, keep=True)

    def _tick(self) -> Step:
        process = self._random.randrange(PROCESSES)
        if self._random.random() >= self._wildness:
            return Tick(process, self._random.choice([0, 1, 1, 1, 2, 3]))
        faults = [-1, -1, -2, -4, -6, -30, -3600, -(10**6), 7, 100, 4000, 10**5]
        return Tick(process, self._random.choice(faults))

    def _write(self) -> Step | None:
        return None if self._held else self._make_write()

    def _hold(self) -> Step | None:
        if self._held:
            return None
        self._held = Hold(self._make_write(), self._random.choice([0, 0, 1, 20]))
        return self._held

    def _make_write(self) -> Write:
        size = 1 if self._random.random() < 0.7 else self._random.randint(1, self._bulk_max)
        chosen = [self._random.choice(self._ids) for _ in range(size)]
        if self._random.random() < 0.2:
            chosen.sort(reverse=True)
        entries = tuple(self._entry(id, START_SECOND - self._random.randrange(1000)) for id in chosen)
        fails = self._random.random() < 0.08
        return Write(self._random.randrange(PROCESSES), self._account(), entries, fails=fails)

    def _entry(self, id: int, second: int) -> Entry:
        status = self._random.choice(["new", "open", "solved", "deleted"])
        return Entry(id, second, status, self._random.choice([None, "agent", "ai_agent"]))

    def _arrive(self) -> Step:
        plain = self._random.random() < 0.5
        reader = Arrive(
            reader=len(self._readers),
            account=self._account(),
            start_time=0 if plain else START_SECOND + self._random.choice([-100_000, -100, 0, 20]),
            exclude_deleted=not plain and self._random.random() < 0.5,
            scope="all" if plain else self._random.choice(SCOPES),
            settle_seconds=self._random.choice([0, 0, 0, 1, 60]),
            ahead_seconds=self._random.choice([0, 0, 1, -1, 3600, 10**7, 10**7]),
        )
        self._readers.append(reader)
        return reader

    def _ask(self) -> Step | None:
        readers = [r for r in self._readers if self._held is None or r.account == self._held.write.account]
        if not readers:
            return None
        per_page = self._random.choice([1, 1, 2, 3, 7, 50, 100, 999, 1000, self._random.randint(1, 1000)])
        return Ask(
            process=self._random.randrange(PROCESSES),
            reader=self._random.choice(readers).reader,
            per_page=per_page,
            pages=self._random.choice([1, 1, 2, 5, 1000]),
            include=self._random.choice(["", "", "", "users"]),
        )

    def _close(self) -> Step:
        account = self._held.write.account if self._held else self._account()
        return Close(self._random.randrange(PROCESSES), account)

    def _fence(self) -> Step | None:
        if self._held:
            return None
        return Fence(self._random.randrange(PROCESSES), self._account(), self._random.choice([0, 5, 300]))

    def _reopen(self) -> Step | None:
        """Not the process whose write is in flight: only killing it for real would do."""
        process = self._random.randrange(PROCESSES)
        if self._held and self._held.write.process == process:
            return None
        return Reopen(process, crashes=self._random.random() < 0.5)

    def _account(self) -> int:
        return self._random.choice([0, 0, 0, 1])


def render(step: Any) -> str:
    """A step on one line; a bulk in short."""
    text = repr(step)
    return text if len(text) < 400 else text[:400] + "..."
