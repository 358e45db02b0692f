"""`ticketfeed clock`: clocks of accounts that are moved from the command line, and servers that follow, or do not."""

import asyncio
import json
import time
from pathlib import Path

from tests.process.conftest import Start, run
from tests.process.test_waits import ask, fill
from tests.waiting import wait_until

DAY = 86400
CLOCK = "/_ticketfeed/clock"


def test_clocks_of_accounts(start: Start, tmp_path: Path) -> None:
    """Moves are printed, and hold in every process that follows; each account has its own.

    Old tickets are scrubbed within ten seconds of a jump. A server without --test-clock says that it does not follow.
    """
    store = f"sqlite:///{tmp_path}/ticketfeed.db"
    asyncio.run(fill(store))

    def clock(*arguments: str) -> list[str]:
        done = run("clock", *arguments, "--account", "acme", cwd=tmp_path)
        assert done.code == 0, done
        return done.out.decode().rstrip("\n").split("\t")

    served = start(
        "serve", "--port", "0", "--store", store, "--test-clock", "--workers", "2", "--rule", "scrub_deleted_days=30"
    )
    fixed = start("serve", "--port", "0", "--store", store)

    def offset(account: str = "acme") -> int:
        return int(json.loads(ask(served, "GET", CLOCK, account).body)["offset_seconds"])

    assert clock("show")[2] == "machine's time"
    created = ask(served, "POST", "/api/v2/tickets")
    assert created.status == 201
    ticket = f"/api/v2/tickets/{json.loads(created.body)['ticket']['id']}"
    assert ask(served, "DELETE", ticket).status == 204
    assert clock("advance", "31d")[2] == f"{31 * DAY:,} s ahead of the machine's clock"
    wait_until(lambda: {offset() for _ in range(10)} == {31 * DAY})
    assert offset("other") == 0

    def export() -> str:
        return ask(served, "GET", "/api/v2/incremental/tickets/cursor?start_time=0").body.decode()

    began = time.monotonic()
    wait_until(lambda: "SCRUBBED" in export())
    assert time.monotonic() - began < 10
    (read,) = json.loads(export())["tickets"]
    assert read["generated_timestamp"] >= int(time.time()) + 31 * DAY - 60
    assert clock("freeze")[3] == "frozen"
    for line in (clock("set", "2030-01-01T00:00:00Z"), clock("show")):
        assert (line[1], line[3]) == ("2030-01-01T00:00:00Z", "frozen")
    assert clock("resume")[1].startswith("2030-01-01T00:00:0")
    assert json.loads(ask(fixed, "GET", CLOCK).body)["offset_seconds"] == 0
    later = start("serve", "--port", "0", "--store", store)
    wait_until(lambda: "--test-clock" in later.errors.read_text())
    assert clock("reset")[2] == "machine's time"
    wait_until(lambda: {offset() for _ in range(10)} == {0})
    for arguments in (("set", "soon"), ("advance", "--", "-5"), ("advance", "5w"), ("set", "3000-01-02")):
        assert run("clock", *arguments, cwd=tmp_path).problem
    assert "POST" in run("clock", "reset", "--store", "memory:", cwd=tmp_path).problem
