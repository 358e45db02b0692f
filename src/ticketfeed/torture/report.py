"""Reports of scenarios as files: JSON, JUnit XML, HTML."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from ticketfeed.atomic_file import atomic_file
from ticketfeed.protocol.errors import BadInput
from ticketfeed.torture.results import ScenarioResult
from ticketfeed.torture.runner import TorturePlan

__all__ = ["check_report", "json_report", "versions", "write_report"]


def versions() -> dict[str, str]:
    """Of what took part, as far as it is known."""
    return {
        "ticketfeed": version("ticketfeed"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def json_report(plan: TorturePlan, results: Sequence[ScenarioResult]) -> bytes:
    """The report for programs."""
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
    report = {"scenarios": scenarios, "seed": plan.seed, "versions": versions()}
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


_FORMATS: dict[str, Callable[[TorturePlan, Sequence[ScenarioResult]], bytes]] = {
    ".json": json_report,
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
