"""The table of `torture`: a line for each scenario when it is over; on a terminal, those under way below it."""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.protocol.verdict import Outcome
from ticketfeed.torture.results import ScenarioResult, count
from ticketfeed.torture.runner import TorturePlan

__all__ = ["TortureTable"]

_STYLES: dict[Outcome, str] = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow", "UNSUPPORTED": "dim"}
_OUTCOME_WIDTH = 12
# Where the width of a terminal is unknown, lines are as long as they are.
_NAMES_MAX = 6


class TortureTable:
    """Prints results as they come, on standard output."""

    def __init__(self, plan: TorturePlan) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._width = max(len(each.name) for each in plan.scenarios)
        self._total, self._done = len(plan.scenarios), 0
        self._under_way: list[str] = []
        self._live = Live("", console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> "TortureTable":
        head = f"{'OUTCOME':{_OUTCOME_WIDTH}}  {'SCENARIO':{self._width}}  {'FIRED':>5}  {'SECONDS':>7}  REASON"
        self._console.print(Text(head, "bold"))
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, scenario: Scenario) -> None:
        """A scenario begins."""
        self._under_way.append(scenario.name)
        self._refresh()

    def add(self, result: ScenarioResult) -> None:
        """A scenario is over."""
        self._under_way.remove(result.name)
        self._done += 1
        line = Text(f"{result.outcome:{_OUTCOME_WIDTH}}", _STYLES[result.outcome])
        line.append(f"  {result.name:{self._width}}  {result.fired:>5}  {result.seconds:>7.1f}  ", "default")
        line.append(_printable(result.reason), "default")
        self._console.print(line)
        self._refresh()

    def summarize(self, results: Sequence[ScenarioResult]) -> None:
        """The counts, and how to repeat what failed."""
        self._live.stop()
        counts = ", ".join(f"{number} {outcome}" for outcome, number in count(results).items() if number)
        self._console.print(Text(f"{len(results)} scenarios: {counts}", "bold"))
        for result in results:
            if result.outcome == "FAIL":
                self._console.print(Text(f"repeat: {_printable(result.repeat)}"))

    def _refresh(self) -> None:
        names = ", ".join(self._under_way[:_NAMES_MAX])
        self._live.update(Text(f"{self._done} of {self._total} done; running {names}", "dim"))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
