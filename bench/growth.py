"""How a page's cost, a process's memory and its start depend on how many tickets there are.

A page is a range read in feed order, so neither where it lies nor how many others there are should matter, nor how
often tickets were changed. With short tickets more of them fit, and less of a page's cost is that of its bytes.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from gzip import decompress
from pathlib import Path

import apsw

from bench.filling import fill, fill_short, update_all
from bench.measure import Comparison, Side, measure
from bench.processes import Cores, on_cores, resident_bytes
from bench.report import plot, print_figures, print_table
from bench.servers import Running, serve_ticketfeed
from bench.world import Credentials, fetch, page_requests, ticketfeed
from ticketfeed import Account, Position, Store, encode_cursor, open_store

__all__ = ["SHORT_SIZES", "SIZES", "measure_growth", "measure_short"]

SIZES = (10_000, 100_000, 1_000_000, 3_000_000)
SHORT_SIZES = (10_000, 1_000_000, 30_000_000)
UPDATES = 3
ROUNDS, SECONDS = 5, 1.0
PAGE_TICKETS = 1000
# Neighbouring pages at each place, so that no single one is asked for again and again.
PAGES = 3
# A page may take one and a half times as long.
AT_LEAST, AIM = 1 / 1.5, 1 / 1.1
Tell = Callable[[str], None]
Fill = Callable[[Store, Account, int], Awaitable[None]]


def measure_growth(
    folder: Path, credentials: Credentials, cores: Cores, sizes: Sequence[int], results: Path, tell: Tell
) -> None:
    """Report page times beside those of the smallest size, memory and start; write JSON and the plot."""
    sides: dict[tuple[str, str, int], Side] = {}
    figures: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for size in sizes:
            path = folder / f"{size}.db"
            tell(f"loading {size:,} tickets")
            with on_cores(cores.server):
                asyncio.run(_make(f"sqlite:///{path}", size, credentials, fill))
            for kept in ("kept", "unkept"):
                options = () if kept == "kept" else ("--page-cache-mib", "0")
                started = time.perf_counter()
                server = stack.enter_context(serve_ticketfeed(f"sqlite:///{path}", cores.server, *options))
                fetch(server.address, page_requests([None], credentials)[0])
                if kept == "kept":
                    figures[f"first answer of serve, {size:,} tickets"] = f"{time.perf_counter() - started:.2f} s"
                _add_sides(sides, server, path, size, kept, credentials)
            figures |= _walk(path, size, credentials, cores, tell)
        largest, smallest = max(sizes), min(sizes)
        tell(f"updating every one of {largest:,} tickets {UPDATES} times")
        path = folder / f"{largest}-updated.db"
        ticketfeed("backup", str(path), "--store", f"sqlite:///{folder / f'{largest}.db'}")
        asyncio.run(_update(f"sqlite:///{path}", largest))
        server = stack.enter_context(serve_ticketfeed(f"sqlite:///{path}", cores.server, "--page-cache-mib", "0"))
        _add_sides(sides, server, path, largest, "updated", credentials)
        comparisons = _compare(sides, smallest)
        measure(comparisons, ROUNDS, SECONDS, tell)
    print_table(comparisons)
    print_figures("Memory and start", figures)
    _write(results, "growth", comparisons, sides, figures)


def measure_short(
    folder: Path, credentials: Credentials, cores: Cores, sizes: Sequence[int], results: Path, tell: Tell
) -> None:
    """Page times of short tickets, never kept, beside those of the smallest size; and the bytes of a ticket on disk.

    A store that is in `folder` already is used again.
    """
    sides: dict[tuple[str, str, int], Side] = {}
    figures: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for size in sizes:
            path = folder / f"{size}.db"
            if not path.exists():
                tell(f"loading {size:,} short tickets")
                asyncio.run(_make(f"sqlite:///{path}", size, credentials, fill_short))
            else:
                _add_token(f"sqlite:///{path}", credentials)
            figures[f"bytes of a ticket on disk, {size:,} tickets"] = f"{path.stat().st_size / size:.0f}"
            options = ("--page-cache-mib", "0")
            server = stack.enter_context(serve_ticketfeed(f"sqlite:///{path}", cores.server, *options))
            tell(f"finding pages of {size:,} tickets")
            _add_sides(sides, server, path, size, "unkept", credentials)
        comparisons = _compare(sides, min(sizes))
        measure(comparisons, ROUNDS, SECONDS, tell)
    print_table(comparisons)
    print_figures("On disk", figures)
    _write(results, "growth-short", comparisons, sides, figures)


def _compare(sides: dict[tuple[str, str, int], Side], smallest: int) -> list[Comparison]:
    """Each beside the smallest size; what was updated stands beside what never was."""
    return [
        Comparison(
            f"{place} page, {form}",
            f"{size:,} tickets, against {smallest:,}",
            side,
            sides[place, "unkept" if form == "updated" else form, smallest],
            AT_LEAST,
            AIM,
        )
        for (place, form, size), side in sides.items()
        if size != smallest
    ]


def _add_sides(
    sides: dict[tuple[str, str, int], Side],
    server: Running,
    path: Path,
    size: int,
    form: str,
    credentials: Credentials,
) -> None:
    starts = {"first": 0, "middle": size // 2, "last": size - (PAGES + 1) * PAGE_TICKETS}
    for place, skipped in starts.items():
        cursors = _read_cursors(server, _cursor_at(path, skipped), credentials)
        requests = page_requests(cursors, credentials)
        sides[place, form, size] = Side(f"{size:,} {form}", server.address, [server.pid], requests)


def _read_cursors(server: Running, first: str | None, credentials: Credentials) -> list[str | None]:
    """Where PAGES neighbouring pages begin."""
    cursors = [first]
    while len(cursors) < PAGES:
        answer = fetch(server.address, page_requests(cursors[-1:], credentials)[0])
        cursors.append(json.loads(answer)["after_cursor"])
    return cursors


def _cursor_at(path: Path, skipped: int) -> str | None:
    """Behind the first `skipped` tickets of the feed."""
    if not skipped:
        return None
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        sql = "SELECT generated_timestamp, id FROM ticket ORDER BY generated_timestamp, id LIMIT 1 OFFSET ?"
        return encode_cursor(Position(*connection.execute(sql, (skipped - 1,)).fetchone()))


def _walk(path: Path, size: int, credentials: Credentials, cores: Cores, tell: Tell) -> dict[str, str]:
    """A process of its own walks the whole feed plain, then a second one compressed; what it holds then."""
    found = {}
    for gzip in (False, True):
        tell(f"walking {size:,} tickets{', gzip' if gzip else ''}")
        with serve_ticketfeed(f"sqlite:///{path}", cores.server) as server:
            started, pages = time.perf_counter(), 0
            before = resident_bytes(server.pid)
            cursor: str | None = None
            ended = False
            while not ended:
                body = fetch(server.address, page_requests([cursor], credentials, gzip=gzip)[0])
                body = decompress(body) if gzip else body
                tail = json.loads(b"{" + body[body.rindex(b'"after_url"') :])
                cursor, ended, pages = tail["after_cursor"], tail["end_of_stream"], pages + 1
            name = f"resident after a walk of {size:,}{', gzip' if gzip else ''}"
            found[name] = (
                f"{resident_bytes(server.pid) / 1e6:.0f} MB, {before / 1e6:.0f} MB at its start; "
                f"{pages} pages in {time.perf_counter() - started:.1f} s"
            )
    return found


async def _make(store_url: str, size: int, credentials: Credentials, fill: Fill) -> None:
    store = await open_store(store_url)
    await fill(store, await store.create_account("demo"), size)
    await store.close()
    _add_token(store_url, credentials)


def _add_token(store_url: str, credentials: Credentials) -> None:
    email = credentials.username.removesuffix("/token")
    ticketfeed("token", "create", "--email", email, "--token", credentials.password, "--store", store_url)


async def _update(store_url: str, size: int) -> None:
    store = await open_store(store_url)
    account = (await store.list_accounts())[0]
    for number in range(UPDATES):
        await update_all(store, account, size, number)
    await store.close()


def _write(
    results: Path,
    name: str,
    comparisons: Sequence[Comparison],
    sides: dict[tuple[str, str, int], Side],
    figures: dict[str, str],
) -> None:
    results.mkdir(exist_ok=True)
    series: dict[str, list[tuple[int, float]]] = {}
    for (place, form, size), side in sorted(sides.items()):
        if form != "updated" and (cpu := side.median("cpu_ms")) is not None:
            series.setdefault(f"{place} page, {form}", []).append((size, cpu))
    plot(results / f"{name}.svg", "A page costs the same, however many tickets there are", series)
    rows = [
        {"name": each.name, "title": each.title, "ratio": each.ratio, "cpu_ratio": each.cpu_ratio}
        for each in comparisons
    ]
    (results / f"{name}.json").write_text(
        json.dumps({"rows": rows, "figures": figures, "series": series}, indent=1) + "\n"
    )
