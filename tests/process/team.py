"""Starts worker processes, ends them by their pid, and judges what all of them noted."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tests.engines import dump
from tests.process import journal
from tests.process.journal import Entry, read_journals
from tests.process.worker import STOP, Plan, Reader
from tests.simulation.observer import Figures, GivenPage, Observer
from ticketfeed.protocol.model import FeedState
from ticketfeed.storage import open_store

ROOT = Path(__file__).parents[2]
# A process that is told to end after some seconds gets this long on top, on a machine however slow.
PATIENCE_SECONDS = 120.0
# Past every second that a clock in these tests can have given.
FAR_SECONDS = 10**7


class Team:
    """The worker processes of one run; leaving the `with` ends those that are left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._workers: list[tuple[Plan, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        for _, process in self._workers:
            if process.poll() is None:
                process.kill()
            process.wait()

    def journal(self, name: str) -> str:
        return str(self.folder / f"{name}.journal")

    def start(self, plan: Plan) -> subprocess.Popen[bytes]:
        errors = (self.folder / f"{plan.name}.errors").open("wb")
        command = [sys.executable, "-m", "tests.process.worker", msgspec.json.encode(plan).decode()]
        with errors:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=errors)
        self._workers.append((plan, process))
        return process

    def wait_ready(self, name: str) -> None:
        """Until the process has opened its store, so that what follows meets it at work."""
        path = Path(self.journal(name))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (path.exists() and path.stat().st_size):
            assert time.monotonic() < deadline, f"{name} did not begin: {self.errors(name)}"
            time.sleep(0.01)

    def errors(self, name: str) -> str:
        return (self.folder / f"{name}.errors").read_text()[-3000:]

    def stop(self) -> None:
        """Tell all to end before their time."""
        (self.folder / STOP).touch()

    def finish(self) -> list[Entry]:
        """Wait until all that still run have ended, each without an error; returns all that was noted."""
        for plan, process in self._workers:
            code = process.wait(plan.seconds + PATIENCE_SECONDS)
            assert code in (0, -9), f"{plan.name} ended with {code}: {self.errors(plan.name)}"
        return read_journals(self.folder)


class Verdict:
    """All journals against each other and against what the store holds, once everyone has ended."""

    def __init__(
        self, url: str, entries: list[Entry], seen: Callable[[bytes], bytes] = bytes, *, has_replicas: bool = False
    ) -> None:
        """`seen`: what of a ticket was compared; all of it, unless told otherwise."""
        self._url, self._seen = url, seen
        self.observer = Observer(has_replicas=has_replicas)
        self.pages = list(journal.pages(entries))
        self.attempts = list(journal.attempts(entries))
        self._states = list(journal.states(entries))

    def give(self, ask_server: Callable[[Reader], GivenPage] | None = None) -> Figures:
        """Figures; violations stand in `observer`. Readers go on to the end, with `ask_server` if given."""
        self.observer.pages(self.pages)
        for account, state in _in_time_order(self._states):
            self.observer.state(account, state)
        figures = Figures(pages=len(self.pages), writes=len(self.attempts))
        figures.acknowledged = asyncio.run(self._drain_and_check(ask_server))
        figures.violations = len(self.observer.violations)
        return figures

    async def _drain_and_check(self, ask_server: Callable[[Reader], GivenPage] | None) -> int:
        """Every reader goes on from its kept cursor to the end; then the rows themselves are looked at."""
        acknowledged, now = 0, int(time.time()) + FAR_SECONDS
        store = await open_store(self._url, lambda: now)
        try:
            for account in await store.list_accounts():
                name = account.subdomain
                readers = {page.reader: page for page in self.pages if page.account == name}
                for last in readers.values():
                    reader, ended = Reader(last.reader, name, last.filters, last.cursor, self._seen), False
                    while not ended:
                        page = ask_server(reader) if ask_server else await reader.ask_store(store, account, 1000, now)
                        self.observer.page(page)
                        ended = page.end_of_stream
                final = {id: (second, self._seen(body)) for id, (second, body) in dump(self._url, account).items()}
                for page in readers.values():
                    self.observer.drained(page.reader, page.filters, final)
                self.observer.finished(name, final)
                acknowledged += self.observer.writes(name, [a for a in self.attempts if a.account == name], final)
        finally:
            await store.close()
        return acknowledged

    def text(self) -> str:
        return "\n".join(self.observer.violations[:20])


def _in_time_order(states: Iterable[tuple[str, FeedState, float, float]]) -> list[tuple[str, FeedState]]:
    """Of the reads of account rows those that did not overlap another of the same account, by time."""
    ordered, last_end = [], dict[str, float]()
    for account, state, began, ended in sorted(states, key=lambda read: read[2]):
        if began > last_end.get(account, 0.0):
            ordered.append((account, state))
            last_end[account] = ended
    return ordered
