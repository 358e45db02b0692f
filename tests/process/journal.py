"""What a process saw and did, as JSON lines that outlive it: what was flushed is there after SIGKILL."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.observer import NEVER, Attempt, GivenPage, Row
from ticketfeed.protocol.model import FeedState, Filters, Position


class Journal:
    """Appends entries to a file of its own. Each is with the operating system before the next thing is done."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        self._file.close()

    def note(self, kind: str, **values: Any) -> None:
        self._file.write(msgspec.json.encode({"kind": kind, **values}) + b"\n")

    def page(self, page: GivenPage) -> None:
        self.note("page", **page._asdict())


Entry = dict[str, Any]


def read_journals(folder: Path) -> list[Entry]:
    """All entries of all journals in a folder; in each journal by time. A last line that was cut off is dropped."""
    entries = []
    for path in sorted(folder.glob("*.journal")):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        entries += [msgspec.json.decode(line) for line in whole.splitlines()]
    return entries


def attempts(entries: Iterable[Entry]) -> Iterator[Attempt]:
    """The writes that were tried, with the moment of their acknowledgement."""
    entries = list(entries)
    acknowledged = {(e["writer"], e["number"]): e["ended"] for e in entries if e["kind"] == "acknowledged"}
    for e in entries:
        if e["kind"] == "try":
            ended = acknowledged.get((e["writer"], e["number"]), NEVER)
            tickets = {int(id): version for id, version in e["tickets"].items()}
            yield Attempt(f"{e['writer']} #{e['number']}", e["account"], tickets, e["began"], ended, e["keeps"])


def pages(entries: Iterable[Entry]) -> Iterator[GivenPage]:
    """The pages that readers were given."""
    for e in entries:
        if e["kind"] == "page":
            yield GivenPage(
                reader=e["reader"],
                account=e["account"],
                filters=Filters(**e["filters"]),
                after=Position(*e["after"]),
                rows=tuple(Row(*row) for row in e["rows"]),
                cursor=Position(*e["cursor"]),
                end_of_stream=e["end_of_stream"],
                began=e["began"],
                ended=e["ended"],
            )


def states(entries: Iterable[Entry]) -> Iterator[tuple[str, FeedState, float, float]]:
    """The account rows that were read: (account, row, began, ended)."""
    for e in entries:
        if e["kind"] == "state":
            yield e["account"], FeedState(**e["state"]), e["began"], e["ended"]
