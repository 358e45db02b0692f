"""Processes that really run at once: what one machine's scheduler does to the promise."""

from pathlib import Path

from tests.process.concurrency import ENOUGH, run_concurrently


def test_writers_and_readers_at_once(url: str, tmp_path: Path) -> None:
    """Writers and readers in many processes under wild clocks: nothing shows behind a cursor, nothing is lost."""
    figures, violations = run_concurrently(url, tmp_path / "journals", seconds=6, seed=1)
    assert violations == ""
    assert figures.acknowledged > ENOUGH
    assert figures.pages > ENOUGH
