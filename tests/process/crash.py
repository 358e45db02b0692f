"""SIGKILL at random moments under load, then: is all there that was acknowledged, and does every reader go on?

`python -m tests.process.crash --kills 50 --store sqlite|postgres` kills writers, loads, servers and, where it is
one, the database, in turn. Processes are ended by their own pid alone.
"""

import argparse
import asyncio
import contextlib
import http.client
import itertools
import logging
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec

from tests.engines import Engine, engine
from tests.ports import free_port
from tests.postgres import PostgresServer
from tests.process.journal import Entry, Journal, read_journals
from tests.process.team import PATIENCE_SECONDS, ROOT, Team, Verdict
from tests.process.worker import Plan, Reader
from tests.simulation.observer import Figures, GivenPage, version_of
from ticketfeed.clock import system_clock
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.write_contract import WriteTransaction

TOKEN = "crash-token"
ACCOUNTS = ["shared", "one", "two"]
# Longer than any round; processes are told to stop before.
ROUND_SECONDS = 300.0
LOAD_TICKETS = 3000
ROUND_KILLS = 3

Outcome = tuple[Figures, str]


def kill_writers(url: str, folder: Path, kills: int, chance: Random) -> Outcome:
    """Writers die in the middle of transactions; another takes over under a new name, readers never stop."""
    with Team(folder) as team:
        for number in range(2):
            team.start(_plan(team, "reader", f"reader{number}", chance, url=url))
        for number in range(kills):
            name = f"writer{number}"
            writer = team.start(_plan(team, "writer", name, chance, url=url))
            team.wait_ready(name)
            time.sleep(chance.uniform(0.02, 0.6))
            writer.kill()
            writer.wait()
        _await_some(folder, "page")
        team.stop()
        verdict = Verdict(url, team.finish())
    return _outcome(verdict, verdict.give(), kills)


def kill_loads(url: str, folder: Path, kills: int, chance: Random) -> Outcome:
    """`ticketfeed load` dies while it reads or commits: all of the file is there, or nothing of it."""
    with Team(folder) as team, contextlib.closing(Journal(folder / "loads.journal")) as journal:
        names = [f"load{number}" for number in range(kills)]
        team.start(_plan(team, "reader", "reader", chance, url=url, accounts=names))
        team.wait_ready("reader")
        for name in names:
            lines, versions = _tickets_of(name)
            journal.note(
                "try", writer=name, number=0, account=name, tickets=versions, keeps=True, began=time.monotonic()
            )
            command = [sys.executable, "-m", "ticketfeed", "load", "--store", url, "--account", name, "-"]
            loading = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert loading.stdin
            # A part of the input, or all of it: then it dies somewhere before, in or after its COMMIT.
            part = len(lines) if chance.random() < 0.6 else chance.randrange(len(lines))
            with contextlib.suppress(BrokenPipeError):
                loading.stdin.write(b"".join(lines[:part]))
                loading.stdin.flush()
                if part == len(lines):
                    loading.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                loading.wait(chance.uniform(0.0, 0.7))
            loading.kill()
            if loading.wait() == 0:
                journal.note("acknowledged", writer=name, number=0, ended=time.monotonic())
            with contextlib.suppress(BrokenPipeError):
                loading.stdin.close()
        _await_some(folder, "page")
        team.stop()
        verdict = Verdict(url, team.finish())
    return _outcome(verdict, verdict.give(), kills)


def kill_servers(url: str, folder: Path, kills: int, chance: Random) -> Outcome:
    """`ticketfeed serve` dies while clients page and writers write; a new one on the same port goes on."""
    asyncio.run(prepare(url))
    port = free_port()
    with Team(folder) as team:
        team.start(_plan(team, "writer", "writer", chance, url=url, clock="mild"))
        for number in range(2):
            team.start(_plan(team, "client", f"client{number}", chance, address=f"127.0.0.1:{port}", token=TOKEN))
        for number in range(kills + 1):
            with _serving(url, port, folder / f"serve{number}.errors") as server:
                time.sleep(chance.uniform(0.05, 1.0))
                if number == kills:
                    _await_some(folder, "page")
                    _await_some(folder, "try")
                    team.stop()
                    verdict = Verdict(url, team.finish())
                    await_real_time(url)
                    figures = verdict.give(asker(port))
                server.kill()
    return _outcome(verdict, figures, kills)


def kill_postgres(server: PostgresServer, folder: Path, kills: int, chance: Random) -> Outcome:
    """The database dies under writers, readers and a server, which says 503 meanwhile and needs no restart."""
    url, port = server.new_database(), free_port()
    asyncio.run(prepare(url))
    with Team(folder) as team, _serving(url, port, folder / "serve.errors"):
        for number in range(2):
            team.start(_plan(team, "writer", f"writer{number}", chance, url=url, clock="mild"))
        team.start(_plan(team, "reader", "reader", chance, url=url, clock="mild"))
        team.start(_plan(team, "client", "client", chance, address=f"127.0.0.1:{port}", token=TOKEN))
        team.wait_ready("client")
        for number in range(kills):
            time.sleep(chance.uniform(0.1, 1.5))
            killed = time.monotonic()
            server.kill()
            if number == 0 or chance.random() < 0.3:
                _await(lambda since=killed: _unavailable_since(folder, since), "a 503")  # type: ignore[misc]
            server.start()
            up = time.monotonic()
            _await(lambda since=up: _page_since(folder, since, "client"), "a page from the server that stayed up")  # type: ignore[misc]
        _await_some(folder, "acknowledged")
        team.stop()
        verdict = Verdict(url, team.finish())
        await_real_time(url)
        figures = verdict.give(asker(port))
    return _outcome(verdict, figures, kills)


def _plan(
    team: Team,
    role: str,
    name: str,
    chance: Random,
    *,
    url: str = "",
    clock: str = "wild",
    address: str = "",
    token: str = "",
    accounts: list[str] = ACCOUNTS,
) -> Plan:
    return Plan(
        role=role,
        name=name,
        seed=chance.randrange(2**31),
        seconds=ROUND_SECONDS,
        journal=team.journal(name),
        accounts=accounts,
        url=url,
        address=address,
        token=token,
        clock=clock,
    )


def _outcome(verdict: Verdict, figures: Figures, kills: int) -> Outcome:
    figures.kills = kills
    return figures, verdict.text()


def _tickets_of(account: str) -> tuple[list[bytes], dict[str, str]]:
    """NDJSON lines of a history, and what each becomes."""
    lines, versions = [], {}
    for id in range(1, LOAD_TICKETS + 1):
        second = 1_600_000_000 + id // 3
        updated = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        values = {"id": id, "generated_timestamp": second, "updated_at": updated, "subject": f"{account} {id}"}
        lines.append(msgspec.json.encode(values) + b"\n")
        draft = parse_ticket(lines[-1], account=account, now=second)
        versions[str(id)] = version_of(draft.body(second), second)
    return lines, versions


async def prepare(url: str, accounts: Sequence[str] = ACCOUNTS) -> None:
    """The accounts, each with an admin who has the token."""
    store = await open_store(url)
    try:
        for name in accounts:
            account = await store.create_account(name)
            user = b'{"id":1,"email":"admin@example.com","role":"admin"}'
            record = parse_record("users", user, account=name, now=system_clock())

            def work(transaction: WriteTransaction, record: object = record) -> None:
                transaction.put_records([record])  # type: ignore[list-item]
                transaction.add_credential(1, "api_token", hash_token(TOKEN))

            await store.write(account, work)
    finally:
        await store.close()


@contextlib.contextmanager
def _serving(url: str, port: int, errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real `ticketfeed serve`, once it answers."""
    process = start_server(url, port, errors)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_server(url: str, port: int, errors: Path, read_urls: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """A real `ticketfeed serve`, which answers."""
    command = [sys.executable, "-m", "ticketfeed", "serve", "--store", url, "--port", str(port)]
    command += [option for read_url in read_urls for option in ("--read-store", read_url)]
    if read_urls:  # several servers on one PostgreSQL, which takes a hundred connections
        command += ["--read-connections", "9", "--write-connections", "6"]
    with errors.open("ab") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout
    with process.stdout:
        select.select([process.stdout], [], [], PATIENCE_SECONDS)
        if not process.stdout.readline().startswith(b"ready:"):
            process.kill()
            raise AssertionError(errors.read_text()[-3000:])
    return process


def asker(port: int) -> Callable[[Reader], GivenPage]:
    def ask(reader: Reader) -> GivenPage:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            given = reader.ask_server(connection, TOKEN, 1000)
        assert isinstance(given, GivenPage), f"503, come back in {given} s"
        return given

    return ask


def await_real_time(url: str) -> None:
    """Until the newest second of every account is over by this machine's clock, which is the server's."""

    async def newest() -> int:
        store = await open_store(url)
        try:
            accounts = await store.list_accounts()
            return max([(await store.read_state(account)).last_generated_timestamp for account in accounts])
        finally:
            await store.close()

    last = asyncio.run(newest())
    _await(lambda: time.time() > last + 1, "the end of the newest second")


def _unavailable_since(folder: Path, since: float) -> bool:
    """Whether a client was told 503 and when to come back."""
    return any(e["kind"] == "unavailable" and e["ended"] > since and e["retry_after"] > 0 for e in _notes(folder))


def _page_since(folder: Path, since: float, name: str) -> bool:
    return any(e["kind"] == "page" and e["began"] > since and e["reader"].startswith(name) for e in _notes(folder))


def _await_some(folder: Path, kind: str) -> None:
    """Until something of this kind is noted: on a busy machine processes may have been killed before they began."""
    _await(lambda: any(entry["kind"] == kind for entry in _notes(folder)), kind)


def _notes(folder: Path) -> list[Entry]:
    return read_journals(folder)


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def run_round(engine: Engine, number: int, chance: Random) -> Figures:
    """A few kills of one kind, in a store of its own; the kinds take turns. Violations are printed and counted."""
    kinds = [kill_writers, kill_loads, kill_servers]
    folder = engine.new_folder()
    if engine.server and number % 4 == 3:
        figures, violations = kill_postgres(engine.server, folder, ROUND_KILLS, chance)
    else:
        kill = kinds[number % 4 % 3]
        figures, violations = kill(engine.new_url(), folder, ROUND_KILLS, chance)
    if violations:
        print(f"crash round {number}:\n{violations}", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.process.crash")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    logging.disable()  # clocks that are behind are told loudly, and here they nearly always are
    total, chance = Figures(), Random(asked.seed)
    with engine(asked.store) as made:
        for number in itertools.count():
            total += run_round(made, number, chance)
            if total.kills >= asked.kills:
                break
    print(
        f"{asked.store}: {total.kills} kills survived, {total.acknowledged} acknowledged writes checked, "
        f"{total.pages} pages, {total.violations} violations"
    )
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
