"""`torture` as a command: reports, exit codes, and commands that behave badly."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.conftest import Done, run
from tests.torture import wrong_connectors
from ticketfeed.cli import main

SMALL = ("--tickets", "120")
ENVIRONMENT = {"PER_PAGE": "50"}


def connector(bug: str = "none") -> list[str]:
    program = [sys.executable, wrong_connectors.__file__]
    return [*program, bug, "{url}", "{output}.ndjson", "{state}"]


def torture(folder: Path, *arguments: str) -> tuple[Done, list[dict[str, Any]]]:
    """What it did, and the scenarios of its report."""
    done = run("torture", *SMALL, "--report", "report.json", *arguments, cwd=folder, env=ENVIRONMENT)
    file = folder / "report.json"
    return done, json.loads(file.read_text())["scenarios"] if file.exists() else []


def test_a_right_command_passes(tmp_path: Path) -> None:
    """A line for each scenario, the report of each, exit code 0; one kills the command in mid-walk."""
    names = ["gateway-timeout", "killed-mid-walk", "token-expires-mid-walk"]
    chosen = [word for name in names for word in ("--scenario", name)]
    reports = ["--report", "report.html", "--report", "report.xml"]
    done, scenarios = torture(tmp_path, *reports, *chosen, "--", *connector())
    assert (done.code, done.err) == (0, "")
    assert [each["name"] for each in scenarios] == names
    for each in scenarios:
        assert each.keys() == {"name", "outcome", "reason", "fired", "incident", "repeat", "seconds"}
        assert each["outcome"] == "PASS"
        assert each["fired"] >= 1
        assert each["name"] in done.out.decode()
    assert done.out.decode().splitlines()[-1] == "3 scenarios: 3 PASS"
    for ending, part in (("html", 'aria-label="Time line of killed-mid-walk: '), ("xml", 'name="killed-mid-walk"')):
        assert part in (tmp_path / f"report.{ending}").read_text()


def test_a_failure_is_repeated_by_its_command(tmp_path: Path) -> None:
    """A bug fails, and its printed command fails in the same way; with the right command after it, both are green."""
    broken, right = connector("quits_at_504"), connector()
    done, [failed] = torture(tmp_path, "--scenario", "gateway-timeout", "--seed", "7", "--", *broken)
    assert (done.code, failed["outcome"]) == (1, "FAIL")
    words = shlex.split(failed["repeat"])
    assert words[:2] == ["ticketfeed", "torture"]
    repeated, [again] = torture(tmp_path, *words[2:])
    assert (repeated.code, again["reason"]) == (1, failed["reason"])
    pair = ["--before", shlex.join(broken), "--after", shlex.join(right)]
    done, [changed] = torture(tmp_path, "--scenario", "gateway-timeout", *pair)
    assert (done.code, changed["outcome"]) == (0, "PASS")
    assert "before: " in changed["reason"]


def test_commands_that_do_not_walk(tmp_path: Path) -> None:
    """A command that hangs, forks, prints without end, or asks is inconclusive, and nothing stays behind."""
    sign = f"86400.{tmp_path.stat().st_ino}"  # of this test's processes
    cases = [
        (f"sleep {sign}", "2", "it sent no request"),
        (f"(setsid sleep {sign} &) ; sleep {sign} & exit 3", "30", "ended with exit code 3"),
        ("yes | head -c 20000000; echo much; exit 4", "30", "ended with exit code 4: much"),
        ("read -r answer || { echo nobody answers; exit 5; }", "30", "exit code 5: nobody answers"),
    ]
    for text, seconds, reason in cases:
        done, [each] = torture(tmp_path, "--timeout", seconds, "--scenario", "maintenance", "--", "sh", "-c", text)
        assert (done.code, each["outcome"], each["fired"]) == (1, "INCONCLUSIVE", 0), each
        assert reason in each["reason"]
    assert not [each.pid for each in psutil.process_iter(["cmdline"]) if sign in (each.info["cmdline"] or [])]


def test_an_output_of_no_format(tmp_path: Path) -> None:
    """An output that is missing, or that is none, is inconclusive where nothing else is wrong."""
    walk = shlex.join(connector()[:-2])
    for text, reason in (
        (f"{walk} elsewhere {{state}}; rm elsewhere", "COMMAND left no {output}.csv"),
        (f"{walk} elsewhere {{state}}; rm elsewhere; echo no table > {{output}}.csv", "cannot be compared"),
    ):
        named = text if "{output}" in text else f"{text}; : {{output}}.csv"
        done, [each] = torture(tmp_path, "--scenario", "maintenance", "--", "sh", "-c", named)
        assert (done.code, each["outcome"]) == (1, "INCONCLUSIVE"), each
        assert reason in each["reason"]


OWN = """
name = "own"
description = "Every request is refused."
expect = "stops"
times = 1000

[what]
status = 418
body = "no"
"""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--", "no-such-program"], "cannot run no-such-program: there is no such program"),
        ([], "COMMAND is missing"),
        (["--scenario", "maintenence", "--", "true"], "did you mean maintenance"),
        (["--scenario", "missing.toml", "--", "true"], "missing.toml"),
        (["--scenario", "bad.toml", "--", "true"], "there is no such key"),
        (["--scenario", "own.toml", "--scenario", "./own.toml", "--", "true"], "two scenarios are called own"),
        (["--report", "report.pdf", "--", "true"], "must be one of"),
        (["--report", "missing/report.json", "--", "true"], "its folder does not exist"),
        (["--before", "true"], "--before and --after belong together"),
        (["--before", "true", "--after", "true", "--", "true"], "replace COMMAND"),
        (["--before", "'true", "--after", "true"], "--before: no closing quotation"),
        (["--", "sh", "-c", "echo {output}.csv {output}.json"], "several outputs"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
) -> None:
    """One line on standard error, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(OWN.replace("times", "tomes"))
    (tmp_path / "own.toml").write_text(OWN)
    with pytest.raises(SystemExit) as ended:
        main(["torture", *SMALL, *arguments])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert problem in line


def test_a_scenario_of_ones_own(tmp_path: Path) -> None:
    """A TOML file is a scenario like those of the package."""
    (tmp_path / "own.toml").write_text(OWN)
    done, [each] = torture(tmp_path, "--scenario", "own.toml", "--", *connector("gives_up_at_418"))
    assert (done.code, each["outcome"], each["name"]) == (0, "PASS", "own")
