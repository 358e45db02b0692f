"""The measurements of bench.mirror, small: what they count is counted."""

from pathlib import Path

from bench.mirror_day import measure_day
from bench.mirror_faults import measure_faults


def test_faults(tmp_path: Path) -> None:
    """A mirror, its source and the network between them are ended in the middle, and nothing differs afterwards."""
    found = measure_faults(
        tmp_path, tickets=80, changes=20, kills=1, source_kills=1, cuts=1, seconds=(0.5, 1.5), tell=lambda _text: None
    )
    assert found.pop("tickets") >= 80
    assert not any(found.values()), found


def test_a_day(tmp_path: Path) -> None:
    """Twenty minutes in virtual time: the source refuses nothing, changes are here soon, and nothing differs."""
    day = measure_day(
        tmp_path, tickets=60, per_page=10, hours=0.35, changes_per_minute=4, verify_hours=0.05, tell=lambda _text: None
    )
    assert (day.refused, day.false_alarms) == (0, [])
    assert day.verifications
    assert len(day.behind) > 5
    assert sorted(day.behind)[len(day.behind) // 2] <= 90
    assert day.differing.pop("tickets") >= 60
    assert not any(day.differing.values()), day.differing
