"""`ticketfeed faults`: scenarios of a running demo, switched from the command line."""

import http.client
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.process.conftest import Start, run
from tests.waiting import SECONDS_MAX
from ticketfeed.faults import shipped_scenarios

BASIC = "Basic " + b64encode(b"admin@example.com/token:demo-token").decode()
OWN = """
name = "mine"
description = "Mine."
expect = ["stops", "waits"]
[when]
chance = 0.5
[what]
status = 418
body = "teapot"
"""


def status_of(url: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS_MAX)
    connection.request("GET", "/api/v2/incremental/tickets/cursor?start_time=0", headers={"Authorization": BASIC})
    status = connection.getresponse().status
    connection.close()
    return status


def test_scenarios_of_a_demo(start: Start, tmp_path: Path) -> None:
    """They are listed with their counts, switched on and off, those of a file too; the demo needs no credentials."""
    url = f"http://{start('demo', '--port', '0', '--tickets', '20').netloc}"

    def faults(*arguments: str) -> list[list[str]]:
        done = run("faults", *arguments, "--url", url, cwd=tmp_path)
        assert done.code == 0, done
        return [line.split("\t") for line in done.out.decode().splitlines()]

    assert [(name, state) for name, state, *_ in faults("list")] == [(name, "off") for name in shipped_scenarios()]
    ((name, state, expect, text),) = faults("add", "maintenance", "--times", "1", "--seed", "3")
    assert (name, state, expect) == ("maintenance", "on, at most 1 time", "completes")
    assert text == shipped_scenarios()["maintenance"].description
    assert [status_of(url) for _ in range(3)] == [200, 503, 200]
    assert [(name, state) for name, state, *_ in faults("list", "--active")] == [("maintenance", "fired 1 of 1")]
    (tmp_path / "mine.toml").write_text(OWN)
    assert faults("add", "mine.toml", "--times", "100", "--token", "demo-token")[0][2] == "stops or waits"
    assert {status_of(url) for _ in range(40)} == {200, 418}
    assert [line[0] for line in faults("list", "--active")] == ["maintenance", "mine"]
    faults("clear", "maintenance")
    assert next(line[0] for line in faults("list")) == "mine"
    faults("clear")
    assert faults("list", "--active") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "stuk-cursor"), "there is no scenario 'stuk-cursor'; did you mean stuck-cursor"),
        (("add", "none.toml"), "none.toml cannot be read: No such file or directory"),
        (("add", "bad.toml"), "bad.toml: what.satus: there is no such key"),
        (("add", "maintenance", "--url", "http://127.0.0.1:9"), "no server at http://127.0.0.1:9: Connection refused"),
        (("list", "--url", "nowhere"), "'nowhere' is not a URL such as http://127.0.0.1:8080"),
        (("list", "--url", "http://[::1"), "'http://[::1' is not a URL such as http://127.0.0.1:8080"),
        (("clear", "--url", "https://acme.example"), "no credentials for acme.example"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """One line on standard error, and exit code 2."""
    (tmp_path / "bad.toml").write_text(OWN.replace("status", "satus"))
    done = run("faults", *arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, b"")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_several_workers(tmp_path: Path) -> None:
    """A server of several processes does not start with scenarios."""
    done = run("serve", "--faults", "--workers", "2", "--port", "0", cwd=tmp_path)
    assert (done.code, done.err.splitlines()) == (
        2,
        ["ticketfeed: --faults needs a single worker, whose counts are exact; use --workers 1"],
    )
