"""An account's clock: what moves it, and what is refused."""

import pytest

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.moved_clock import TIME_MAX, ClockMove, MovedClock, move_clock, parse_clock_move

NOW = 1_800_000_000
DAY = 86400
RUNNING, AHEAD, FROZEN = MovedClock(), MovedClock(500), MovedClock(0, NOW - 7)


@pytest.mark.parametrize(
    ("clock", "move", "after"),
    [
        (RUNNING, ClockMove("set", NOW + 5), MovedClock(5)),
        (AHEAD, ClockMove("set", NOW - 5), MovedClock(-5)),
        (FROZEN, ClockMove("set", NOW + 5), MovedClock(0, NOW + 5)),
        (AHEAD, ClockMove("advance", 30 * DAY), MovedClock(30 * DAY + 500)),
        (AHEAD, ClockMove("advance", 0), AHEAD),
        (FROZEN, ClockMove("advance", 60), MovedClock(0, NOW + 53)),
        (RUNNING, ClockMove("freeze"), MovedClock(0, NOW)),
        (AHEAD, ClockMove("freeze"), MovedClock(0, NOW + 500)),
        (FROZEN, ClockMove("freeze"), FROZEN),
        (FROZEN, ClockMove("resume"), MovedClock(-7)),
        (AHEAD, ClockMove("resume"), AHEAD),
        (AHEAD, ClockMove("reset"), RUNNING),
        (FROZEN, ClockMove("reset"), RUNNING),
    ],
)
def test_moves(clock: MovedClock, move: ClockMove, after: MovedClock) -> None:
    """Each move leaves the clock where it says, frozen or running as before; and it goes on from there."""
    moved = move_clock(clock, move, NOW)
    assert moved == after
    assert moved.time(NOW + 100) - moved.time(NOW) == (0 if after.frozen_at is not None else 100)


@pytest.mark.parametrize("move", [ClockMove("set", TIME_MAX + 1), ClockMove("advance", TIME_MAX)])
def test_no_clock_leaves_the_years_of_the_wire(move: ClockMove) -> None:
    """A time that the wire could not write, or whose expiries it could not, is refused."""
    for clock in (RUNNING, FROZEN):
        with pytest.raises(InvalidValue, match="1970 to the year 3000"):
            move_clock(clock, move, NOW)


@pytest.mark.parametrize(
    ("body", "move"),
    [
        ({"set": 12}, ClockMove("set", 12)),
        ({"set": " 1800000000 "}, ClockMove("set", 1_800_000_000)),
        ({"set": "2027-04-30T12:00:00Z"}, ClockMove("set", 1_809_086_400)),
        ({"set": "2027-04-30T14:00:00+02:00"}, ClockMove("set", 1_809_086_400)),
        ({"set": "2027-04-30T12:00:00.9"}, ClockMove("set", 1_809_086_400)),
        ({"set": "2027-04-30"}, ClockMove("set", 1_809_043_200)),
        ({"advance": 0}, ClockMove("advance", 0)),
        ({"advance": "45"}, ClockMove("advance", 45)),
        ({"advance": "90s"}, ClockMove("advance", 90)),
        ({"advance": "31m"}, ClockMove("advance", 31 * 60)),
        ({"advance": "24h"}, ClockMove("advance", DAY)),
        ({"advance": "30d"}, ClockMove("advance", 30 * DAY)),
        ({"freeze": True}, ClockMove("freeze")),
        ({"resume": True}, ClockMove("resume")),
        ({"reset": True}, ClockMove("reset")),
    ],
)
def test_what_can_be_asked_for(body: object, move: ClockMove) -> None:
    """Durations are seconds or have a unit; times are Unix seconds or ISO 8601, in UTC unless they say otherwise."""
    assert parse_clock_move(body) == move


@pytest.mark.parametrize(
    "body",
    [
        *([], None, "reset", 5, {}, {"set": 1, "advance": 2}, {"move": 3}, {"freeze": 1}, {"freeze": False}),
        *({"reset": "true"}, {"resume": None}, {"set": True}, {"set": None}, {"set": 1.5}, {"set": ""}, {"set": -1}),
        *({"set": "tomorrow"}, {"set": "9" * 30}, {"set": [1]}, {"set": "٣"}, {"set": "0000-01-01"}, {"set": "\0"}),
        *({"advance": -5}, {"advance": "-5m"}, {"advance": "1.5h"}, {"advance": "5 m"}, {"advance": "5w"}),
        *({"advance": True}, {"advance": None}, {"advance": ""}, {"advance": "d"}, {"advance": "9" * 30}),
        *({"advance": {}}, {"advance": "٣d"}, {"advance": "P1D"}),
    ],
)
def test_what_is_refused(body: object) -> None:
    """Anything else is refused by name, never guessed."""
    with pytest.raises(InvalidValue):
        parse_clock_move(body)
