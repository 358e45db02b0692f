"""What came of a scenario, and of all of them: outcomes, exit code, counts. Pure functions of what was seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ticketfeed.protocol.consumers import RequestRecord
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.protocol.verdict import Outcome, Verdict
from ticketfeed.server.faults.engine import Firing
from ticketfeed.torture.placeholders import needs_oauth

__all__ = [
    "OUTCOMES",
    "Attempt",
    "Behaviour",
    "ScenarioResult",
    "ScenarioRun",
    "compare",
    "count",
    "decide",
    "exit_code",
]

OUTCOMES: tuple[Outcome, ...] = ("PASS", "FAIL", "INCONCLUSIVE", "UNSUPPORTED")
_GZIP_NOTE = "COMMAND accepts no compressed answers, and the scenario is about them"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that COMMAND was started. `exit_code`: None if it was ended. `ended`: by what, in words.

    `printed`: on both streams, bounded. `began_at`: Unix seconds of the machine.
    """

    command: Sequence[str]
    exit_code: int | None
    ended: str
    printed: str
    began_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What COMMAND did, besides what a verdict says. `output_problem`: why its output could not be compared.

    `last_line`: that it printed.
    """

    uses_oauth: bool
    accepts_gzip: bool
    per_page_max: int
    exit_code: int | None
    output_problem: str = ""
    last_line: str = ""

    @property
    def how_it_ended(self) -> str:
        """To follow what it did not do."""
        code = "" if self.exit_code is None else f", and ended with exit code {self.exit_code}"
        return f"{code}{': ' if self.last_line else ''}{self.last_line}"


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """A scenario with one command. `fired`: at how many requests. `notes`: of hosts that COMMAND could not reach."""

    outcome: Outcome
    reason: str
    verdict: Verdict
    fired: int
    seconds: float
    attempts: Sequence[Attempt]
    requests: Sequence[RequestRecord]
    firings: Sequence[Firing]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """A scenario with all its commands: one, or `before` and `after`. `repeat`: the command line that repeats it."""

    scenario: Scenario
    outcome: Outcome
    reason: str
    repeat: str
    runs: Mapping[str, ScenarioRun]
    is_named: bool = False
    seconds: float = field(default=0.0)

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def fired(self) -> int:
        """With the last of its commands."""
        return list(self.runs.values())[-1].fired


def decide(scenario: Scenario, verdict: Verdict, behaviour: Behaviour, fired: int) -> tuple[Outcome, str]:
    """The outcome of a run: that of the verdict, unless the command cannot meet the fault, or left no output."""
    outcome, reason = verdict.outcome, verdict.reason
    if outcome == "INCONCLUSIVE" and not fired and (unsupported := _why_unsupported(scenario, behaviour)):
        return "UNSUPPORTED", unsupported
    if outcome == "INCONCLUSIVE" and not verdict.requests:
        return outcome, f"{reason}{behaviour.how_it_ended}"
    if outcome == "PASS" and behaviour.exit_code == 0 and behaviour.output_problem:
        return "INCONCLUSIVE", behaviour.output_problem
    return outcome, reason


def _why_unsupported(scenario: Scenario, behaviour: Behaviour) -> str:
    when = scenario.when
    if needs_oauth(scenario) and not behaviour.uses_oauth:
        return "COMMAND uses no OAuth, and the scenario is about it"
    if when.credential == "api_token" and behaviour.uses_oauth:
        return "COMMAND uses no API token, and the scenario is about it"
    if when.grant_type is not None:
        return f"COMMAND sends no request of the grant {when.grant_type}"
    if when.above_per_page is not None and 0 < behaviour.per_page_max <= when.above_per_page:
        return f"COMMAND requests no page of more than {when.above_per_page} records"
    if scenario.what.truncate_gzip and not behaviour.accepts_gzip:
        return _GZIP_NOTE
    return ""


def compare(before: ScenarioRun, after: ScenarioRun) -> tuple[Outcome, str]:
    """The outcome of a change: PASS if the scenario failed before it and does not after it."""
    if after.outcome != "PASS":
        return after.outcome, f"after: {after.reason}"
    if before.outcome == "FAIL":
        return "PASS", f"before: {before.reason}; after: {after.reason}"
    return "INCONCLUSIVE", f"it did not fail before ({before.outcome}: {before.reason})"


def exit_code(results: Collection[ScenarioResult]) -> int:
    """0 if all that was asked for passed; what COMMAND cannot meet does not count."""
    if any(each.outcome == "FAIL" or (each.outcome == "INCONCLUSIVE" and each.is_named) for each in results):
        return 1
    return 0 if any(each.outcome == "PASS" for each in results) else 1


def count(results: Collection[ScenarioResult]) -> dict[Outcome, int]:
    """How many of each outcome."""
    return {outcome: sum(each.outcome == outcome for each in results) for outcome in OUTCOMES}
