"""Make the world, start the servers, measure, report. Everything is kept in a temporary folder, and ends with it."""

import argparse
import contextlib
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import measure, verify
from bench.processes import Cores, Unavailable, pin_load
from bench.report import describe_pinning, print_table, write_results
from bench.servers import (
    FASTAPI,
    NGINX,
    OURS,
    Credentials,
    Server,
    check_fastapi,
    serve_fastapi,
    serve_files,
    serve_ticketfeed,
)
from bench.world import make_store, read_cursors, save_pages, saved_tickets

RESULTS = Path(__file__).parent / "results" / "latest.json"
PAGE_TICKETS = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    # An interrupted run ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-") as folder:
        _run(Path(folder), asked.pages, asked.rounds, asked.seconds)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Pages a second, beside two peers.")
    parser.add_argument("--pages", type=int, default=200, help="distinct pages of 1000 tickets [200]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured [5]")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a case takes in a round [1.5]")
    asked = parser.parse_args(arguments)
    if asked.pages < 1 or asked.rounds < 1 or asked.seconds <= 0:
        parser.error("--pages, --rounds and --seconds must be above 0")
    return asked


def _run(folder: Path, pages: int, rounds: int, seconds: float) -> None:
    credentials = Credentials("admin@example.com/token", secrets.token_urlsafe(24))
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        _tell(f"generating {pages * PAGE_TICKETS:,} tickets")
        store_url = make_store(folder / "tickets.db", pages * PAGE_TICKETS, credentials)
        cores = pin_load()
        pid, address = stack.enter_context(serve_ticketfeed(store_url, cores))
        _tell("saving their pages")
        cursors = read_cursors(address, pages, credentials)
        sizes = save_pages(folder / "pages", address, cursors, credentials)
        ours = Server(OURS, pid, address, lambda case: case.api_targets(cursors))
        peers = _start_peers(stack, folder, credentials, cursors, cores, missing)
        verify(ours, peers, credentials)
        rows = measure([ours, *peers], credentials, rounds, seconds, _tell)
    print(f"{pages} pages, median of {rounds} rounds of {seconds:g} s; {describe_pinning(cores)}.")
    print_table(rows, OURS, missing, sizes)
    facts = {"pages": pages, "rounds": rounds, "seconds": seconds, "pinned": cores is not None, "missing": missing}
    write_results(RESULTS, rows, facts)


def _start_peers(
    stack: contextlib.ExitStack,
    folder: Path,
    credentials: Credentials,
    cursors: list[str | None],
    cores: Cores | None,
    missing: dict[str, str],
) -> list[Server]:
    """Those that can run here; why the others cannot goes into `missing`."""
    peers = []
    try:
        nginx = serve_files(folder / "nginx", folder / "pages", len(cursors), cores)
        peers.append(stack.enter_context(nginx))
    except Unavailable as error:
        missing[NGINX] = str(error)
    try:
        check_fastapi()
        from bench.peers.fastapi_sqlalchemy import fill

        _tell("filling the FastAPI application's database")
        database = f"sqlite:///{folder / 'fastapi.db'}"
        fill(database, saved_tickets(folder / "pages", len(cursors)))
        peers.append(stack.enter_context(serve_fastapi(database, credentials, cursors, cores)))
    except Unavailable as error:
        missing[FASTAPI] = str(error)
    return peers


def _tell(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
