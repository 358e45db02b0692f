"""A simulated desk: everything happens, nothing breaks, readers miss nothing."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.process.conftest import run
from ticketfeed import Filters, Position, open_store, parse_export_request, parse_query, read_page, system_clock
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.simulation import Simulation


def test_a_busy_desk(tmp_path: Path) -> None:
    """Every kind of thing happens; a reader beside it misses nothing, and the store is sound."""

    async def main() -> None:
        store = await open_store(f"sqlite:///{tmp_path / 't.db'}")
        account = await store.create_account("demo")
        simulation = Simulation(store, account, seed=3)
        await simulation.prepare()
        seen: dict[int, int] = {}
        asked = parse_export_request(parse_query("start_time=0"), now=system_clock(), start_time_margin_seconds=0)
        after = asked.after

        async def read() -> bool:
            nonlocal after
            page = await read_page(store, account, replace(asked, after=after), now=system_clock(), settle_seconds=0)
            seen.update({row[1]: row[0] for row in page.rows})
            after = page.after
            return page.end_of_stream

        running = asyncio.create_task(simulation.run(300, 3.0))
        while not running.done():
            await read()
            await asyncio.sleep(0.05)
        await running
        assert set(simulation.done) == {
            *("ticket", "agent_reply", "requester_reply", "status", "assignment"),
            *("tags", "bulk", "deletion", "restoration", "person"),
        }
        assert simulation.done.total() > 300
        await asyncio.sleep(2.1)
        while not await read():
            pass
        _, rows = await store.read_changes(account, Position(0, -1), 2**40, 10_000, Filters(), links=False)
        assert seen == {row[1]: row[0] for row in rows}
        found: list[str] = []
        await store.inspect(lambda snapshot: check_store(snapshot, found.append))
        assert found == []
        await store.close()

    asyncio.run(main())


def test_the_commands(tmp_path: Path) -> None:
    """`simulate` tells what it did and ends by itself; `maintain` and `check` work on what it left."""
    url = f"sqlite:///{tmp_path / 't.db'}"
    assert "no store" in run("simulate", "--store", url, cwd=tmp_path).problem
    assert run("account", "create", "demo", "--store", url, cwd=tmp_path).code == 0
    done = run("simulate", "--store", url, "--rate", "200", "--minutes", "0.03", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert b"changes" in done.out
    done = run("maintain", "--store", url, "--close-solved-days", "1", cwd=tmp_path)
    assert (done.code, done.out) == (0, b"demo: closed 0, scrubbed 0\n")
    assert run("check", "--store", url, cwd=tmp_path).code == 0
