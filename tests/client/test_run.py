"""A run's first page creates its target; a run that fails before leaves nothing."""

import contextlib
from pathlib import Path

import pytest

from tests.client.targets import TARGETS, Target
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Basic, Bearer, Credentials
from ticketfeed.client.run import Run
from ticketfeed.client.sinks import is_begun, open_sink
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


def export(desk: FeedServer, target: Target, path: str, credentials: Credentials) -> None:
    with (
        Exporter(desk.url, credentials=credentials) as exporter,
        open_sink(path, ["tickets"], target.options) as sink,
    ):
        is_open = is_begun(path)
        checkpoint = sink.open(IDENTITY) if is_open else None
        exporter.states.update(checkpoint.streams if checkpoint else {})
        Run(exporter, sink, IDENTITY, checkpoint, lambda _page: None, contextlib.nullcontext, is_open).run()


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
