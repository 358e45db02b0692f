"""Scenarios as values: what is refused, and at which requests one fires."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.scenarios import (
    FaultCount,
    FaultEffect,
    FaultTrigger,
    Scenario,
    count_fault,
    matches_address,
    parse_scenario,
    unknown_scenario,
)

WELL = {"name": "mine", "description": "Mine.", "what": {"status": 503, "body": ""}}


def scenario(**when: Any) -> Scenario:
    return Scenario(name="mine", description="Mine.", when=FaultTrigger(**when), what=FaultEffect(kill=True))


def fired_at(scenario: Scenario, times: int, requests: int, seed: int = 1, pause: float = 1.0) -> list[int]:
    """The numbers of the requests at which it fires, one each `pause` seconds."""
    count, fired = FaultCount(), []
    for number in range(1, requests + 1):
        count, is_firing = count_fault(scenario, seed, times, count, 1000 + number * pause)
        fired += [number] * is_firing
    assert (count.counted, count.fired) == (requests, len(fired))
    return fired


def test_the_shortest_and_the_fullest() -> None:
    """What is left out has its default, and one outcome may stand for a list of them."""
    assert parse_scenario(WELL) == Scenario(
        name="mine", description="Mine.", what=FaultEffect(status=503, body=""), expect=("completes",)
    )
    full = {
        **WELL,
        "incident": "https://example.com/1",
        "expect": ["stops", "waits"],
        "times": 7,
        "again": True,
        "when": {"address": "/api/v2/users*", "request": 2, "every": 3, "chance": 0.5, "above_per_page": 100},
        "what": {"drip": {"pieces": 3, "every_seconds": 1}, "headers": {"X-One": "{http_date+5}"}},
    }
    parsed = parse_scenario(full)
    assert (parsed.expect, parsed.times, parsed.when.request) == (("stops", "waits"), 7, 2)
    assert parse_scenario({**WELL, "expect": "stops"}).expect == ("stops",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name: expected `str`, got `null`"),
        ({"name": "Not so"}, "name: must consist of lower-case letters, digits and hyphens"),
        ({"what": {"statu": 503}}, "what.statu: there is no such key"),
        ({"extra": 1}, "extra: there is no such key"),
        ({"what": {}}, "what: must have one effect at least"),
        ({"what": {"status": 99}}, "what.status: expected `int` >= 200"),
        ({"what": {"status": "x"}}, "what.status: expected `int | null`, got `str`"),
        ({"what": {"drip": {"pieces": 3}}}, "what.drip.every_seconds: is missing"),
        ({"what": {"page": {"cursor": "odd"}}}, "what.page.cursor: invalid enum value 'odd'"),
        ({"what": {"page": {}}}, "what.page: must have one change at least"),
        ({"what": {"headers": {"Content-Length": "5"}}}, "what.headers.Content-Length: cannot be set"),
        ({"what": {"headers": {"X-One": "a\r\nb"}}}, "what.headers.X-One: must be printable ASCII"),
        ({"what": {"cut": "head", "cut_after_bytes": 1}}, "what.cut_after_bytes: cut says where already"),
        ({"what": {"delay_seconds": 1e9}}, "what.delay_seconds: expected `float` <= 3600.0"),
        ({"when": {"page": "last"}}, "when.page: the page is not known yet where the answer is made up, delayed"),
        ({"when": {"request": 0}}, "when.request: expected `int` >= 1"),
        ({"when": {"chance": 2}}, "when.chance: expected `float` <= 1.0"),
        ({"expect": []}, "expect: must name one outcome at least"),
        ({"expect": "nothing"}, "expect[0]: invalid enum value 'nothing'"),
        ({"times": 0}, "times: expected `int` >= 1"),
        ({"incident": "somewhere"}, "incident: must be a URL"),
    ],
)
def test_errors_name_the_key(change: dict[str, Any], message: str) -> None:
    """One line that begins with the key."""
    with pytest.raises(InvalidValue) as raised:
        parse_scenario({**WELL, **change})
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s)))
def test_anything_is_parsed_or_refused(values: Any) -> None:
    """No other error comes of it."""
    for value in (values, {**WELL, "what": values}, {**WELL, "when": values}):
        with contextlib.suppress(InvalidValue):
            parse_scenario(value)


def test_when_it_fires() -> None:
    """From a request on, at each so many, at most so often, and not within some seconds of the last time."""
    for when, times, expected in (
        ({}, 1, [1]),
        ({"request": 3}, 2, [3, 4]),
        ({"request": 2, "every": 3}, 10, [2, 5, 8]),
        ({"every_seconds": 2.5}, 10, [1, 4, 7]),
        ({"chance": 0.0}, 10, []),
        ({"chance": 1.0}, 3, [1, 2, 3]),
    ):
        assert fired_at(scenario(**when), times, 9) == expected, when


@given(st.integers(), st.floats(0.05, 0.95), st.integers(1, 20))
def test_decisions_depend_on_seed_and_number_alone(seed: int, chance: float, times: int) -> None:
    """The same seed fires at the same requests, however far apart they are; the bound on times holds."""
    drawn = scenario(chance=chance)
    fired = fired_at(drawn, times, 60, seed, pause=1.0)
    assert fired == fired_at(drawn, times, 60, seed, pause=77.7)
    assert len(fired) <= times
    assert fired == fired_at(drawn, 60, 60, seed)[:times]


def test_chance_is_about_what_it_says() -> None:
    """Of a thousand requests with the chance 0.3, 250 to 350; another seed draws others."""
    drawn = scenario(chance=0.3)
    fired = fired_at(drawn, 1000, 1000)
    assert 250 < len(fired) < 350
    assert fired != fired_at(drawn, 1000, 1000, seed=2)


def test_addresses() -> None:
    """`*` is any text, and `.json` at the end makes no difference."""
    for address, path, is_matched in (
        ("/api/v2/incremental/*", "/api/v2/incremental/tickets/cursor.json", True),
        ("/api/v2/incremental/tickets/cursor.json", "/api/v2/incremental/tickets/cursor", True),
        ("/api/v2/users", "/api/v2/users/7", False),
        ("/oauth/tokens", "/oauth/tokens", True),
    ):
        assert matches_address(scenario(address=address), path) is is_matched, (address, path)


def test_similar_names_are_suggested() -> None:
    """Misspelt and partial names; without any, where the list is."""
    names = ["stuck-cursor", "repeated-cursor", "slow-drip"]
    assert "did you mean stuck-cursor" in str(unknown_scenario("stuk-cursor", names))
    assert "slow-drip" in str(unknown_scenario("drip", names))
    assert "ticketfeed faults list" in str(unknown_scenario("zzz", names))
