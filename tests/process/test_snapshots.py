"""`ticketfeed snapshot`, beside a server of two processes: none of them answers with what was before a rewind."""

import asyncio
import json
from pathlib import Path

from tests.process.conftest import Start, run
from tests.process.test_waits import ask, fill
from tests.waiting import wait_until

EXPORT = "/api/v2/incremental/tickets/cursor?start_time=0&support_type_scope=all"


def test_rewinds_reach_all_processes(start: Start, tmp_path: Path) -> None:
    """Tickets, the clock and a fork are what was saved in both processes, time and again."""
    store = f"sqlite:///{tmp_path}/ticketfeed.db"
    asyncio.run(fill(store))

    def snapshot(*arguments: str, code: int = 0) -> str:
        done = run("snapshot", *arguments, "--account", "acme", cwd=tmp_path)
        assert done.code == code, done
        return done.err if code else done.out.decode()

    assert snapshot("save", "empty") == "acme\tsaved as empty\t0 tickets\n"
    served = start("serve", "--port", "0", "--store", store, "--test-clock", "--workers", "2")

    def read(account: str = "acme") -> set[int]:
        """How many tickets an export has, of whichever process."""
        return {len(json.loads(ask(served, "GET", EXPORT, account).body)["tickets"]) for _ in range(10)}

    for _ in range(2):
        for _ in range(3):
            assert ask(served, "POST", "/api/v2/tickets").status == 201
        assert run("clock", "advance", "1h", "--account", "acme", cwd=tmp_path).code == 0
        wait_until(lambda: read() == {3})
        assert snapshot("rewind", "empty", "--with-consumers") == "acme\trewound to empty\t0 tickets\n"
        wait_until(lambda: read() == {0})
        wait_until(lambda: json.loads(ask(served, "GET", "/_ticketfeed/clock").body)["offset_seconds"] == 0)
    assert ask(served, "POST", "/api/v2/tickets").status == 201
    assert snapshot("save", "one").endswith("\t1 ticket\n")
    assert snapshot("fork", "one", "copy") == "copy\tforked from one of acme\n"
    assert run("clock", "advance", "1m", "--account", "copy", cwd=tmp_path).code == 0
    wait_until(lambda: read("copy") == {1})
    assert [line.split("\t")[0] for line in snapshot("list").splitlines()] == ["empty", "one"]
    assert snapshot("delete", "one") == "acme\tdeleted one\n"
    assert snapshot("rewind", "one", code=2) == "ticketfeed: there is no snapshot 'one'; there are: empty\n"
    assert "already" in snapshot("save", "empty", code=2)
    done = run("check", cwd=tmp_path)
    assert done.code == 0, done
