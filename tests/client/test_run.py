"""A run's first page creates its target; a run that fails before leaves nothing."""

import contextlib
from pathlib import Path

import pytest

from tests.client.targets import TARGETS, Target
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Basic, Bearer, Credentials
from ticketfeed.client.run import Run
from ticketfeed.client.sinks import is_begun, open_sink
from ticketfeed.client.steps import ExportPage, Key
from ticketfeed.client.totals import RunCounts
from ticketfeed.protocol.errors import SourceError, TargetError
from ticketfeed.testing import FeedServer, serve_desk

IDENTITY = {"source": "test"}
each = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@pytest.fixture(scope="module")
def desk() -> FeedServer:
    with serve_desk() as server:
        server.reset(tickets=20)
        server.clock.advance(2)
        yield server


def export(desk: FeedServer, target: Target, path: str, credentials: Credentials, began: int = 0) -> RunCounts:
    counts = RunCounts(began)
    with (
        Exporter(desk.url, credentials=credentials) as exporter,
        open_sink(path, ["tickets"], target.options) as sink,
    ):
        is_open = is_begun(path)
        checkpoint = sink.open(IDENTITY) if is_open else None
        exporter.states.update(checkpoint.streams if checkpoint else {})
        Run(
            exporter,
            sink,
            IDENTITY,
            checkpoint,
            lambda page, held: counts.add(page, held),
            contextlib.nullcontext,
            is_open,
        ).run()
    return counts


@each
def test_a_target_is_created_by_its_first_page(desk: FeedServer, tmp_path: Path, target: Target) -> None:
    """Wrong credentials leave an empty folder; right ones a target that the next run continues."""
    path = target.path(tmp_path)
    with pytest.raises(SourceError, match="401"):
        export(desk, target, path, Bearer("wrong"))
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        export(desk, target, path, Basic(desk.email, desk.token))
        assert len(target.read(Path(path), "tickets")) == 20
        assert is_begun(path)


@each
def test_what_is_there_and_empty_is_no_target_yet(tmp_path: Path, target: Target) -> None:
    """An empty file or folder has not been begun; a folder that is missing is reported before anything is read."""
    path = Path(target.path(tmp_path))
    assert not is_begun(str(path))
    path.mkdir() if target.ending == "/" else path.touch()
    assert not is_begun(str(path))
    with pytest.raises(TargetError, match="nowhere"):
        is_begun(target.path(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "target", [each for each in TARGETS if each.name in ("sqlite", "duckdb")], ids=lambda each: each.name
)
def test_new_is_what_the_target_did_not_hold(desk: FeedServer, tmp_path: Path, target: Target) -> None:
    """A database knows: neither the time of creation nor the second time within a run makes a ticket new."""
    desk.reset(tickets=20)
    desk.clock.advance(2)
    path, admin = target.path(tmp_path), Basic(desk.email, desk.token)
    first = export(desk, target, path, admin, 2**31)
    assert (first.new + first.deleted, first.changed) == (20, 0)
    ids = [ticket["id"] for ticket in target.read(Path(path), "tickets") if ticket["status"] != "deleted"]
    desk.put("tickets", {"id": 10**9}, {"id": ids[0], "subject": "changed"}, {"id": ids[1], "status": "deleted"})
    second = export(desk, target, path, admin, 1)
    assert (second.new, second.changed, second.deleted) == (1, 1, 1)
    desk.put("tickets", {"id": ids[1], "status": "open"})
    third = export(desk, target, path, admin)
    assert (third.new, third.changed, third.deleted) == (0, 1, 0)


def test_twice_in_one_page() -> None:
    """A ticket that comes twice is new once."""
    counts = RunCounts(0)
    counts.add(ExportPage("tickets", [b"", b"", b""], {}, True, [Key(1), Key(2), Key(1)]), {2})
    assert (counts.new, counts.changed) == (1, 2)
