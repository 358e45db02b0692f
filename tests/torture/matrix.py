"""docs/reference/torture-matrix.md, made by running every scenario with real connectors: `make torture-matrix`.

Each is unmodified, from its package index, in an environment of its own (`tests/connectors/venvs.py`); what stands
beside this module is only what its users write themselves: credentials, the stream, and where to put the tickets.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.connectors.test_dlt import python as dlt_python
from tests.connectors.venvs import AIRBYTE, PYTHON, connector_bin, node_modules
from ticketfeed.faults import shipped_scenarios
from ticketfeed.torture.results import OUTCOMES

PAGE = Path(__file__).parents[2] / "docs/reference/torture-matrix.md"
REPORTS = Path(__file__).parents[2] / "build/torture-matrix"
PROGRAMS = Path(__file__).parent / "connectors"
ZENPY, NODE_ZENDESK = "zenpy==2.0.57", "node-zendesk@6.0.1"
ACCOUNT = ("{subdomain}", "{email}", "{token}")
SIGNS = {"PASS": "pass", "FAIL": "**fail**", "INCONCLUSIVE": "?", "UNSUPPORTED": "-"}
HEAD = """# Torture matrix

What connectors do when the API misbehaves: every [scenario](scenarios.md) with real connectors, unmodified, as
[Torture a connector](../how-to/torture-a-connector.md) shows. `make torture-matrix` runs them again and makes this
page; it is not written by hand. A failure is one with the configuration that is shown, not of all that a connector can
do: *pass* and **fail** are as the report says, *?* is inconclusive (the fault never fired, or the connector did not
read), *-* says that the connector does not use what the scenario is about.

A connector that is slower than its `--timeout` fails, too, and the reason says so. Options of torture stand in front of
`--`. One that fails everywhere fails without a fault, too: tickets that are missing after exit code 0 are a failure
whether the fault fired or not.

Made on {date} with ticketfeed {version}, seed {seed}.

| connector | version | command |
|---|---|---|
"""


class Connector(NamedTuple):
    """`make`: sets up its environment, and returns COMMAND. `options`: of torture."""

    name: str
    version: str
    make: Callable[[], list[str]]
    options: tuple[str, ...] = ("--timeout", "180")


def _zenpy() -> list[str]:
    return [str(connector_bin("zenpy", ZENPY) / "python"), _program("zenpy_export.py"), *ACCOUNT, "{output}.ndjson"]


def _tap_zendesk() -> list[str]:
    tap = connector_bin("tap-zendesk") / "tap-zendesk"
    words = [sys.executable, _program("tap_zendesk_sync.py"), str(tap)]
    return [*words, "{subdomain}", "{token}", "{output}.singer", "{state}"]


def _airbyte() -> list[str]:
    source = connector_bin("airbyte") / "source-zendesk-support"
    words = [sys.executable, _program("airbyte_read.py"), str(source)]
    return [*words, *ACCOUNT, "{output}.jsonl", "{state}"]


def _dlt() -> list[str]:
    return [str(dlt_python()), _program("dlt_rest_api.py"), *ACCOUNT, "{output}.duckdb", "{state}"]


def _node_zendesk() -> list[str]:
    modules = node_modules("node-zendesk", NODE_ZENDESK)
    program = _program("node_zendesk_export.js")
    return ["env", f"NODE_PATH={modules}", "node", program, *ACCOUNT, "{output}.ndjson"]


def _dlt_version() -> str:
    code = "import importlib.metadata as m; print(m.version('dlt'))"
    return subprocess.run([str(dlt_python()), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _program(name: str) -> str:
    return str(PROGRAMS / name)


def connectors() -> Iterable[Connector]:
    """The connectors, in the order of the page."""
    yield Connector("zenpy", ZENPY.partition("==")[2], _zenpy)
    # It sleeps for a minute after every 450 tickets: two pages of 1,000 take two minutes.
    slow = ("--tickets", "1150", "--timeout", "400", "--jobs", "16")
    yield Connector("tap-zendesk", PYTHON["tap-zendesk"][0].partition("==")[2], _tap_zendesk, slow)
    # It starts for half a minute.
    slow = ("--timeout", "900", "--jobs", "8")
    yield Connector("airbyte-source-zendesk-support", AIRBYTE.partition("==")[2], _airbyte, slow)
    yield Connector("dlt rest_api", _dlt_version(), _dlt)
    yield Connector("node-zendesk", NODE_ZENDESK.partition("@")[2], _node_zendesk)


def run(connector: Connector) -> None:
    """Run all scenarios with a connector, and keep the report."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{connector.name}.json"
    options = [*connector.options, "--report", str(report), "--report", str(report.with_suffix(".html"))]
    words = [sys.executable, "-m", "ticketfeed", "torture", *options, "--", *connector.make()]
    done = subprocess.run(words, check=False)
    assert done.returncode in (0, 1), f"torture ended with exit code {done.returncode}"


def render(found: dict[Connector, dict[str, Any]], date: str) -> str:
    """The page."""
    reports = list(found.values())
    text = HEAD.format(date=date, version=reports[0]["versions"]["ticketfeed"], seed=reports[0]["seed"])
    for each in found:
        text += f"| {each.name} | {each.version} | `{shown(each)}` |\n"
    outcomes = {each: {row["name"]: row for row in report["scenarios"]} for each, report in found.items()}
    text += "\n| scenario | " + " | ".join(each.name for each in found) + " |\n|---|" + "---|" * len(found) + "\n"
    for name in shipped_scenarios():
        row = [SIGNS[outcomes[each][name]["outcome"]] for each in found]
        text += f"| [{name}](scenarios.md) | {' | '.join(row)} |\n"
    for outcome in OUTCOMES:
        counts = (sum(row["outcome"] == outcome for row in outcomes[each].values()) for each in found)
        text += f"| {outcome} | {' | '.join(map(str, counts))} |\n"
    for each in found:
        text += f"\n## {each.name} {each.version}\n\n"
        failed: dict[str, list[str]] = {}
        for row in outcomes[each].values():
            if row["outcome"] == "FAIL":
                failed.setdefault(plain(row["reason"]), []).append(row["name"])
        lines = [f"* {', '.join(names)}: {reason}\n" for reason, names in failed.items()]
        text += "".join(lines) or "It fails no scenario.\n"
    return text


def shown(connector: Connector) -> str:
    """The command without the places of this machine."""
    words = [word for word in connector.make() if not word.startswith("NODE_PATH=") and word != "env"]
    return " ".join([*connector.options, "--", *(Path(word).name if "/" in word else word for word in words)])


def plain(text: str) -> str:
    """A reason as one line of a page."""
    return " ".join(text.split()).replace("|", "/").replace("<", "&lt;")


def main() -> None:
    """Run the connectors that are named, or all; make the page of all whose report is there."""
    known = {each.name: each for each in connectors()}
    for name in sys.argv[1:] or known:
        print(f"== {name} {known[name].version}", flush=True)
        run(known[name])
    files = {each: REPORTS / f"{each.name}.json" for each in known.values()}
    found = {each: json.loads(file.read_text()) for each, file in files.items() if file.exists()}
    date = datetime.fromtimestamp(min(files[each].stat().st_mtime for each in found), UTC)
    PAGE.write_text(render(found, f"{date:%Y-%m-%d}"))


if __name__ == "__main__":
    main()
