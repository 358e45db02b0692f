"""Reports of scenarios as files: JSON, JUnit XML, HTML."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from ticketfeed.atomic_file import atomic_file
from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.torture.report_html import html_report
from ticketfeed.torture.report_junit import junit_report
from ticketfeed.torture.results import ScenarioResult
from ticketfeed.torture.runner import TorturePlan

__all__ = ["check_report", "write_report"]


def _versions() -> dict[str, str]:
    """Of what took part, as far as it is known."""
    return {
        "ticketfeed": version("ticketfeed"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _json(plan: TorturePlan, results: Sequence[ScenarioResult]) -> bytes:
    scenarios = [
        {
            "name": each.name,
            "outcome": each.outcome,
            "reason": each.reason,
            "fired": each.fired,
            "incident": each.scenario.incident,
            "repeat": each.repeat,
            "seconds": round(each.seconds, 2),
        }
        for each in results
    ]
    report = {"scenarios": scenarios, "seed": plan.seed, "versions": _versions()}
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _junit(plan: TorturePlan, results: Sequence[ScenarioResult]) -> bytes:
    return junit_report(results, plan.seed, _versions())


def _html(plan: TorturePlan, results: Sequence[ScenarioResult]) -> bytes:
    commands = {label: each.first for label, each in plan.commands.items()}
    return html_report(results, commands, plan.seed, _versions(), system_clock())


_FORMATS: dict[str, Callable[[TorturePlan, Sequence[ScenarioResult]], bytes]] = {
    ".html": _html,
    ".xml": _junit,
    ".json": _json,
}


def check_report(file: Path) -> Path:
    """The file, if a report can be written there. Raises BadInput."""
    if file.suffix not in _FORMATS:
        raise BadInput(f"--report {file}: the ending says the format, and must be one of {', '.join(_FORMATS)}")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise BadInput(f"--report {file}: {'it is a folder' if file.is_dir() else 'its folder does not exist'}")
    return file


def write_report(file: Path, plan: TorturePlan, results: Sequence[ScenarioResult]) -> None:
    """Write it, whole or not at all."""
    with atomic_file(file, 0o644, replace=True) as part:
        part.write_bytes(_FORMATS[file.suffix](plan, results))
