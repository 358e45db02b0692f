"""torture: test a connector, which is a command, against fault scenarios."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketfeed.cli.options import with_settings
from ticketfeed.cli.tls import require_tls_extra
from ticketfeed.clock import system_clock
from ticketfeed.faults import find_scenario, read_scenario_file, shipped_scenarios
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.settings import Settings
from ticketfeed.torture.placeholders import PLACEHOLDERS, output_ending
from ticketfeed.wrap.hosts import parse_allowed_host, parse_host_port

if TYPE_CHECKING:
    from ticketfeed.torture.results import ScenarioResult
    from ticketfeed.torture.runner import TorturePlan
    from ticketfeed.torture.scenario_run import Commands

__all__ = ["torture"]

# Scenarios are about pages that others follow: with the largest pages, of 1,000 tickets, there are three.
DEFAULT_TICKETS = 2500
TICKETS_MAX = 100_000
TIMEOUT_SECONDS_MAX = 86_400.0
PLACEHOLDER_HELP = "\n\n".join(
    ["COMMAND may contain:", *(f"{{{name}}}: {text}." for name, text in PLACEHOLDERS.items())]
)
HELP = f"""Run COMMAND once for each fault scenario, against an account of its own, and say whether it did right.

Credentials are in TICKETFEED_SOURCE_EMAIL and TICKETFEED_SOURCE_TOKEN; where a scenario is about OAuth, in
TICKETFEED_SOURCE_CLIENT_ID, TICKETFEED_SOURCE_CLIENT_SECRET and TICKETFEED_SOURCE_REFRESH_TOKEN_FILE.

{PLACEHOLDER_HELP}

The exit code is 0 if all scenarios passed that COMMAND can meet, and 1 if one failed, one that was named is
inconclusive, or none passed.
"""


@with_settings("isolate", "allow_host", "host_port")
def torture(
    settings: Settings,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND...", show_default=False)] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE.toml", help="One scenario, repeatable. Default: all of ticketfeed."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the help desk, and of what scenarios leave to chance.")] = 1,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long one scenario may take.", min=1, max=TIMEOUT_SECONDS_MAX)
    ] = 60,
    tickets: Annotated[
        int, typer.Option(help="Of the help desk. Many scenarios need three pages.", min=1, max=TICKETS_MAX)
    ] = DEFAULT_TICKETS,
    jobs: Annotated[
        int | None, typer.Option(help="How many scenarios run side by side. Default: two for each CPU.", min=1, max=100)
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write a report, by its ending .html, .xml (JUnit) or .json. Repeatable."),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="Where a scenario needs a second run, run this instead of COMMAND."),
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="CMD", help="With --after, instead of COMMAND: has to fail.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="CMD", help="Has to pass where the command of --before failed.")
    ] = None,
) -> int:
    require_tls_extra()
    from ticketfeed.torture.report import check_report, write_report
    from ticketfeed.torture.results import exit_code
    from ticketfeed.torture.runner import JOBS

    reports = [check_report(file) for file in report or []]
    scenarios, given = _choose(scenario or [])
    commands = _commands(command or [], again, before, after)
    for each in commands.values():
        output_ending(each)
    repeat = _repeat_options(seed, timeout, tickets, again, before, after)
    plan = _plan(settings, scenarios, commands, seed, timeout, tickets, jobs or JOBS, repeat, command or [], given)
    try:
        results = asyncio.run(_run(plan))
    except asyncio.CancelledError:  # by SIGTERM, once all commands had ended
        return 128 + signal.SIGTERM
    for file in reports:
        write_report(file, plan, results)
    return exit_code(results)


torture.__doc__ = HELP


def _choose(names: Sequence[str]) -> "tuple[list[Scenario], dict[str, str] | None]":
    """The scenarios, and how each was named on the command line."""
    if not names:
        return list(shipped_scenarios().values()), None
    found = {name: read_scenario_file(Path(name)) if name.endswith(".toml") else find_scenario(name) for name in names}
    given: dict[str, str] = {}
    for name, each in found.items():
        if given.setdefault(each.name, name) != name:
            raise BadInput(f"two scenarios are called {each.name}: {given[each.name]} and {name}")
    return list(found.values()), given


def _commands(
    command: Sequence[str], again: str | None, before: str | None, after: str | None
) -> "dict[str, Commands]":
    from ticketfeed.torture.scenario_run import Commands

    if (before is None) != (after is None):
        raise BadInput("--before and --after belong together")
    if before is not None and after is not None:
        if command or again is not None:
            raise BadInput("--before and --after replace COMMAND and --again")
        words = {"before": _split("--before", before), "after": _split("--after", after)}
        return {label: Commands(each, each) for label, each in words.items()}
    if not command:
        raise BadInput("COMMAND is missing: ticketfeed torture [OPTIONS] -- COMMAND...")
    return {"COMMAND": Commands(_checked(command), _split("--again", again) if again is not None else command)}


def _split(option: str, text: str) -> list[str]:
    try:
        return _checked(shlex.split(text))
    except ValueError as error:
        raise BadInput(f"{option}: {str(error).lower()}") from None


def _checked(command: Sequence[str]) -> list[str]:
    """Raises BadInput for a program that does not exist."""
    if not command or not command[0]:
        raise BadInput("a command is empty")
    " ".join(command).encode()  # raises what is told of text that is not UTF-8: reports repeat the command
    if "{" not in command[0] and shutil.which(command[0]) is None:
        reason = "it is not executable" if Path(command[0]).is_file() else "there is no such program"
        raise BadInput(f"cannot run {command[0]}: {reason}")
    return list(command)


def _repeat_options(
    seed: int, timeout: float, tickets: int, again: str | None, before: str | None, after: str | None
) -> list[str]:
    """The options that repeat a scenario, besides its name."""
    options = ["--seed", str(seed)]
    if timeout != 60:
        options += ["--timeout", f"{timeout:g}"]
    if tickets != DEFAULT_TICKETS:
        options += ["--tickets", str(tickets)]
    for name, text in (("--again", again), ("--before", before), ("--after", after)):
        options += [name, text] if text is not None else []
    return options


def _plan(
    settings: Settings,
    scenarios: Sequence[Scenario],
    commands: "dict[str, Commands]",
    seed: int,
    timeout: float,
    tickets: int,
    jobs: int,
    options: Sequence[str],
    command: Sequence[str],
    given: dict[str, str] | None,
) -> "TorturePlan":
    from ticketfeed.torture.runner import TorturePlan
    from ticketfeed.wrap.authority import make_authority
    from ticketfeed.wrap.services import RunPlan

    served = Settings.of_profile(
        "open", page_cache_mib=0, test_clock=True, faults=True, dashboard=False, isolate=settings.isolate
    )
    allowed = frozenset(parse_allowed_host(host) for host in settings.allow_host)
    host_ports = frozenset(parse_host_port(port) for port in settings.host_port)
    run_plan = RunPlan(served, make_authority(system_clock()), allowed, lambda _refused: None, host_ports)
    return TorturePlan(
        scenarios, commands, os.environ, run_plan, seed, timeout, tickets, jobs, options, list(command), given
    )


async def _run(plan: "TorturePlan") -> "list[ScenarioResult]":
    from ticketfeed.cli.torture_table import TortureTable
    from ticketfeed.torture.runner import run_scenarios

    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with TortureTable(plan) as table:
        results = await run_scenarios(plan, table.begin, table.add)
        table.summarize(results)
    return results
