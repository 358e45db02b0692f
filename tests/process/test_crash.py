"""What is acknowledged survives SIGKILL, what is not is never torn, and readers go on from their kept cursors."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.engines import own_server
from tests.process.crash import Outcome, kill_loads, kill_postgres, kill_servers, kill_writers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "journals"
    made.mkdir()
    return made


@pytest.mark.parametrize(
    ("kill", "kills"),
    [(kill_writers, 4), (kill_loads, 4), (kill_servers, 2)],
    ids=["writers", "loads", "servers"],
)
def test_kill(kill: Callable[[str, Path, int, Random], Outcome], kills: int, url: str, folder: Path) -> None:
    """A process that is killed under load loses nothing it acknowledged, and leaves nothing half."""
    figures, violations = kill(url, folder, kills, Random(1))
    assert violations == ""
    assert figures.pages > 0
    assert figures.writes > 0


def test_kill_postgres(open_folder: Path, folder: Path) -> None:
    """PostgreSQL is killed under load: nothing acknowledged is lost; the server says 503 meanwhile, then goes on."""
    with own_server(open_folder) as server:
        figures, violations = kill_postgres(server, folder, 2, Random(1))
    assert violations == ""
    assert figures.acknowledged > 0
