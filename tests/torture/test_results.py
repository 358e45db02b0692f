"""From what was seen to outcomes and exit codes; placeholders and variables of a command."""

from pathlib import Path
from typing import Any

import pytest

from ticketfeed.faults import find_scenario
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.verdict import Outcome, Verdict
from ticketfeed.torture.placeholders import CommandFacts, fill, find_output, needs_oauth, source_environment
from ticketfeed.torture.processes import CapturedOutput
from ticketfeed.torture.results import Behaviour, ScenarioResult, ScenarioRun, compare, decide, exit_code

FACTS = CommandFacts("demo", "a@example.com", "token", "client", "secret", Path("/runs"))


def run(outcome: Outcome, reason: str = "") -> ScenarioRun:
    return ScenarioRun(outcome, reason, Verdict(outcome=outcome, reason=reason), 1, 0.0, (), (), ())


def result(outcome: Outcome, *, is_named: bool) -> ScenarioResult:
    scenario = find_scenario("maintenance")
    return ScenarioResult(scenario, outcome, "", "", {"COMMAND": run(outcome)}, is_named)


@pytest.mark.parametrize(
    ("named", "outcomes", "code"),
    [
        (False, ["PASS"], 0),
        (False, ["PASS", "UNSUPPORTED", "INCONCLUSIVE"], 0),
        (False, ["PASS", "FAIL"], 1),
        (False, ["UNSUPPORTED", "INCONCLUSIVE"], 1),
        (True, ["PASS", "UNSUPPORTED"], 0),
        (True, ["PASS", "INCONCLUSIVE"], 1),
        (True, ["UNSUPPORTED"], 1),
    ],
)
def test_exit_code(named: bool, outcomes: list[Outcome], code: int) -> None:
    """1 for what failed, for what was named and is inconclusive, and where nothing passed."""
    assert exit_code([result(outcome, is_named=named) for outcome in outcomes]) == code


BEHAVIOUR = {"uses_oauth": False, "accepts_gzip": True, "per_page_max": 100, "exit_code": 0}


@pytest.mark.parametrize(
    ("scenario", "outcome", "fired", "behaviour", "wanted"),
    [
        ("maintenance", "PASS", 2, {}, "PASS"),
        ("maintenance", "PASS", 2, {"output_problem": "COMMAND left no {output}"}, "INCONCLUSIVE"),
        ("not-an-admin", "PASS", 2, {"output_problem": "COMMAND left no {output}", "exit_code": 1}, "PASS"),
        ("maintenance", "INCONCLUSIVE", 0, {}, "INCONCLUSIVE"),
        ("scope-cut", "INCONCLUSIVE", 0, {}, "UNSUPPORTED"),
        ("scope-cut", "FAIL", 0, {}, "FAIL"),
        ("lapsed-refresh-token", "INCONCLUSIVE", 0, {"uses_oauth": True}, "UNSUPPORTED"),
        ("api-token-deactivated", "INCONCLUSIVE", 0, {"uses_oauth": True}, "UNSUPPORTED"),
        ("gateway-timeout-large-pages", "INCONCLUSIVE", 0, {}, "UNSUPPORTED"),
        ("gateway-timeout-large-pages", "INCONCLUSIVE", 0, {"per_page_max": 1000}, "INCONCLUSIVE"),
        ("truncated-gzip", "INCONCLUSIVE", 0, {"accepts_gzip": False}, "UNSUPPORTED"),
    ],
)
def test_outcome(scenario: str, outcome: Outcome, fired: int, behaviour: dict[str, Any], wanted: Outcome) -> None:
    """A verdict stands, unless the command cannot meet the fault, or left nothing to compare."""
    verdict = Verdict(outcome=outcome, reason="", requests=3)
    seen = Behaviour(**{**BEHAVIOUR, **behaviour})
    assert decide(find_scenario(scenario), verdict, seen, fired)[0] == wanted


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ("FAIL", "PASS", "PASS"),
        ("PASS", "PASS", "INCONCLUSIVE"),
        ("UNSUPPORTED", "PASS", "INCONCLUSIVE"),
        ("FAIL", "FAIL", "FAIL"),
        ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE"),
    ],
)
def test_before_and_after(before: Outcome, after: Outcome, wanted: Outcome) -> None:
    """A change is shown to help only where it failed before."""
    assert compare(run(before), run(after))[0] == wanted


def test_placeholders() -> None:
    """Placeholders are replaced inside words; other braces stay. The output has the ending that the words give it."""
    words = ["a", "--config={state}", '{"url": "{url}", "x": {y}}', "{output}.ndjson.gz"]
    wanted = ["a", "--config=/runs/state", '{"url": "https://demo.zendesk.com", "x": {y}}', "/runs/output.ndjson.gz"]
    assert fill(words, FACTS) == wanted
    assert find_output([words], FACTS) == Path("/runs/output.ndjson.gz")
    assert find_output([["cat > {output}"]], FACTS) == Path("/runs/output")
    assert find_output([["a"]], FACTS) is None
    with pytest.raises(BadInput, match="several outputs"):
        find_output([["{output}.csv"], ["{output}.json"]], FACTS)


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ("maintenance", {"EMAIL", "TOKEN"}),
        ("api-token-deactivated", {"EMAIL", "TOKEN"}),
        ("scope-cut", {"CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN_FILE"}),
        ("token-endpoint-429", {"CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN_FILE"}),
    ],
)
def test_environment(scenario: str, names: set[str]) -> None:
    """One kind of credentials is there, that of the scenario, in place of the caller's own."""
    caller = {"PATH": "/bin", "TICKETFEED_SOURCE_BEARER": "x", "TICKETFEED_SOURCE_EMAIL": "me@example.com"}
    environ = source_environment(caller, find_scenario(scenario), FACTS)
    assert environ.keys() == {"PATH", *(f"TICKETFEED_SOURCE_{name}" for name in names)}
    assert environ.get("TICKETFEED_SOURCE_EMAIL") in (None, "a@example.com")
    assert needs_oauth(find_scenario(scenario)) == ("CLIENT_ID" in names)


def test_what_is_printed_is_bounded() -> None:
    """Of much output the beginning and the end are kept, and how much lies between."""
    captured = CapturedOutput()
    captured.add(b"first\n")
    for _ in range(1000):
        captured.add(b"x" * 10_000)
    captured.add(b"\nlast\xff")
    text = captured.text()
    assert text.startswith("first\n")
    assert text.endswith("\nlast\ufffd")
    assert len(text) < 70_000
    assert "bytes left out" in text
