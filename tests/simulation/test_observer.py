"""What the Observer takes for a violation where replicas may be behind."""

import pytest

from tests.simulation.observer import EVERYTHING, Attempt, GivenPage, Observer, Row, version_of
from ticketfeed.protocol.model import Position

BODY = b'{"generated_timestamp":%d,"status":"open","support_type":null,"subject":"%d"}'
BODIES = [BODY % (second, second) for second in (5, 8)]
FIRST, SECOND = (Row(second, 1, version_of(BODY % (second, second), second)) for second in (5, 8))


def page(reader: str, rows: tuple[Row, ...], cursor: tuple[int, int], began: float) -> GivenPage:
    return GivenPage(reader, "acme", EVERYTHING, Position(0, -1), rows, Position(*cursor), True, began, began + 1)


@pytest.mark.parametrize(("second_began", "violations"), [(3.0, 0), (30.0, 1)])
def test_a_replica_that_is_behind(second_began: float, violations: int) -> None:
    """It may show a state that the ticket has left since; one that the ticket still had is a change that was missed."""
    observer = Observer(has_replicas=True)
    other = Row(9, 2, version_of(BODIES[0], 5))
    observer.pages([page("a", (other,), (9, 2), 10.0), page("b", (FIRST,), (5, 1), 20.0)])
    attempts = [Attempt("w", "acme", {1: FIRST.version}, 1.0, 2.0), Attempt("w", "acme", {2: other.version}, 1.0, 9.0)]
    attempts.append(Attempt("w", "acme", {1: SECOND.version}, second_began, second_began + 1))
    observer.writes("acme", attempts, {1: (8, BODIES[1]), 2: (9, BODIES[0].replace(b":5,", b":9,", 1))})
    found = [each for each in observer.violations if "behind a cursor" in each]
    assert (len(found), observer.superseded) == (violations, 1 - violations)
