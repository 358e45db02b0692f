"""Pages: ours against files of the same bytes, against other ways to write the endpoint, and against ourselves.

The same 200 pages of a thousand tickets throughout, by the same cursors, with credentials that are checked.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import apsw

from bench.measure import Comparison, Side, measure, verify
from bench.processes import Cores, Unavailable, environment, on_cores, running
from bench.servers import (
    APPLICATIONS,
    Running,
    serve_application,
    serve_files,
    serve_prism,
    serve_ticketfeed,
)
from bench.world import (
    Credentials,
    Request,
    fetch,
    make_store,
    page_requests,
    read_cursors,
    save_pages,
    saved_tickets,
    ticketfeed,
)
from tests.postgres import PostgresServer

__all__ = ["ROWS", "compare_pages"]

PAGE_TICKETS = 1000
UPDATES_PER_SECOND = 200
DELETED_SHARE = 0.9
INCLUDE = "&include=users,groups,organizations"
# Of the generated tickets.
SEARCHES = ("type:ticket+kettle", "tags:refund", "status%3Csolved+priority:urgent", "comment:refund", "order")
NGINX, NGINX_GZIP = "nginx, static files", "nginx, gzip_static"

# name -> title, ratio to reach at least, ratio to aim for.
ROWS: dict[str, tuple[str, float | None, float | None]] = {
    "raw": ("raw page, SQLite", 0.40, 0.70),
    "raw-unkept": ("raw page, SQLite, no pages kept", None, None),
    "gzip": ("gzip page, SQLite", 0.30, 0.60),
    "gzip-unkept": ("gzip page, SQLite, no pages kept", None, None),
    "gzip-updates": (f"gzip page, {UPDATES_PER_SECOND} tickets a second updated", 0.70, 0.90),
    "postgres": ("raw page, PostgreSQL", 0.15, 0.25),
    "watched": ("raw page, the page of the server and its metrics looked at every second", 0.80, 0.95),
    "include": ("raw page with users, groups, organizations", 0.50, 0.80),
    "deleted": ("exclude_deleted, where 90 % are deleted", 0.50, 0.90),
    "search": ("search for a word, a hundred results and their number, against a page of a thousand", None, None),
    "fastapi": ("raw page", 40, 80),
    "django": ("raw page", 40, 80),
    "fastapi-raw": ("raw page", 12, 20),
    "prism": ("raw page", 15, 25),
    "workers": ("raw page, 2 workers on both cores", 1.3, 1.6),
}


@dataclass(slots=True)
class _Bench:
    """What all rows share: the store, its pages, one server of it, and the pages as files."""

    stack: contextlib.ExitStack
    folder: Path
    credentials: Credentials
    cores: Cores
    pages: int
    store_url: str
    server: Running
    cursors: Sequence[str | None]
    tell: Callable[[str], None]

    def serve(self, store_url: str, *options: str, cores: Set[int] | None = None) -> Running:
        return self.stack.enter_context(
            serve_ticketfeed(store_url, self.cores.server if cores is None else cores, *options)
        )

    def side(self, name: str, server: Running, *, gzip: bool = False, query: str = "") -> Side:
        requests = page_requests(self.cursors, self.credentials, gzip=gzip, query=query)
        return Side(name, server.address, [server.pid], requests)

    def files(self, name: str, ours: Side, *, gzip: bool = False) -> Side:
        """nginx with the pages of this side. Raises Unavailable."""
        root = self.folder / "pages"
        folder, suffix = ("gzip", ".gz") if gzip else (name, "")
        if not (root / folder).exists():
            self.tell(f"saving the pages: {folder}")
            save_pages(root / folder, ours.address, ours.requests, suffix)
        server = self.stack.enter_context(serve_files(Path(tempfile.mkdtemp(dir=self.folder)), root, self.cores.server))
        headers = ours.requests[0].headers
        requests = [Request(f"/{folder}/{number:05}.json", headers) for number in range(len(ours.requests))]
        return Side(NGINX_GZIP if gzip else NGINX, server.address, [server.pid], requests)


def compare_pages(
    folder: Path,
    credentials: Credentials,
    cores: Cores,
    *,
    pages: int,
    rounds: int,
    seconds: float,
    names: Sequence[str],
    tell: Callable[[str], None],
) -> list[Comparison]:
    """Measure the rows of these names."""
    with contextlib.ExitStack() as stack:
        store_url = f"sqlite:///{folder / 'tickets.db'}"
        tell(f"generating {pages * PAGE_TICKETS:,} tickets")
        make_store(store_url, pages * PAGE_TICKETS, credentials)
        server = stack.enter_context(serve_ticketfeed(store_url, cores.server))
        cursors = read_cursors(server.address, pages, credentials)
        bench = _Bench(stack, folder, credentials, cores, pages, store_url, server, cursors, tell)
        done = []
        for name in names:
            with contextlib.ExitStack() as bench.stack:
                comparison = _prepare(bench, name)
                if comparison.peer and name not in (
                    "gzip-updates",
                    "watched",
                    "include",
                    "deleted",
                    "workers",
                    "search",
                    "prism",
                ):
                    verify(comparison.ours, comparison.peer)
                measure([comparison], rounds, seconds, tell)
            done.append(comparison)
        return done


def _prepare(bench: _Bench, name: str) -> Comparison:
    title, at_least, aim = ROWS[name]
    ours, make_peer = _SIDES[name](bench) if name in _SIDES else _against_application(bench, name)
    try:
        return Comparison(name, title, ours, make_peer(), at_least, aim)
    except Unavailable as error:
        return Comparison(name, title, ours, None, at_least, aim, str(error))


_Sides = tuple[Side, Callable[[], Side]]


def _raw(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed", bench.server)
    return ours, lambda: bench.files("raw", ours)


def _raw_unkept(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed", bench.serve(bench.store_url, "--page-cache-mib", "0"))
    return ours, lambda: bench.files("raw", ours)


def _gzip(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed", bench.server, gzip=True)
    return ours, lambda: bench.files("gzip", ours, gzip=True)


def _gzip_unkept(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed", bench.serve(bench.store_url, "--page-cache-mib", "0"), gzip=True)
    return ours, lambda: bench.files("gzip", bench.side("", bench.server, gzip=True), gzip=True)


def _gzip_updates(bench: _Bench) -> _Sides:
    url = f"sqlite:///{bench.folder / 'updated.db'}"
    ticketfeed("backup", str(bench.folder / "updated.db"), "--store", bench.store_url)
    ours = bench.side("ticketfeed, updated", bench.serve(url), gzip=True)
    ours.during = lambda: _updating(url, bench.cores)
    return ours, lambda: bench.side("ticketfeed, quiet", bench.server, gzip=True)


@contextlib.contextmanager
def _updating(store_url: str, cores: Cores) -> Iterator[None]:
    """Random tickets, one a transaction, on the load generator's core."""
    command = [sys.executable, "-m", "bench.updating", store_url, str(UPDATES_PER_SECOND)]
    with running(command, cores.load, env=environment()):
        yield


def _watched(bench: _Bench) -> _Sides:
    server = bench.serve(bench.store_url)
    ours = bench.side("ticketfeed, watched", server)
    command = [sys.executable, "-m", "bench.watching", "http://{}:{}".format(*server.address)]
    authorization = bench.credentials.header
    ours.during = lambda: running([*command, authorization], bench.cores.load, env=environment())
    return ours, lambda: bench.side("ticketfeed, alone", bench.server)


def _postgres(bench: _Bench) -> _Sides:
    with on_cores(bench.cores.server):
        server = PostgresServer(bench.folder / "postgres")
    bench.stack.callback(server.stop)
    url = server.new_database()
    bench.tell("filling PostgreSQL")
    make_store(url, bench.pages * PAGE_TICKETS, bench.credentials)
    ours = bench.side("ticketfeed, PostgreSQL", bench.serve(url))
    ours.pids = [*ours.pids, server.pid]
    return ours, lambda: bench.files("raw", bench.side("", bench.server))


def _include(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed, include", bench.server, query=INCLUDE)
    return ours, lambda: bench.side("ticketfeed, without", bench.server)


def _deleted(bench: _Bench) -> _Sides:
    """A store of its own, where nine of ten are deleted; its pages hold only the tenth."""
    path = bench.folder / "deleted.db"
    ticketfeed("backup", str(path), "--store", bench.store_url)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE ticket SET status = 'deleted' WHERE id % 10 <> 0")
    server, query = bench.serve(f"sqlite:///{path}"), "&exclude_deleted=true"
    cursors = read_cursors(server.address, bench.pages, bench.credentials, query)
    plain = bench.side("ticketfeed, all", server)
    requests = page_requests(cursors[:-1], bench.credentials, query=query)  # the last one may be short
    return Side("ticketfeed, exclude_deleted", server.address, [server.pid], requests), lambda: plain


def _workers(bench: _Bench) -> _Sides:
    both = bench.cores.server | bench.cores.load
    ours = bench.side("ticketfeed, 2 workers", bench.serve(bench.store_url, "--workers", "2", cores=both))
    return ours, lambda: bench.side("ticketfeed, 1 worker", bench.server)


def _search(bench: _Bench) -> _Sides:
    headers = page_requests([None], bench.credentials)[0].headers
    requests = [Request(f"/api/v2/search?query={query}", headers) for query in SEARCHES]
    ours = Side("ticketfeed, search", bench.server.address, [bench.server.pid], requests)
    return ours, lambda: bench.side("ticketfeed, page", bench.server)


def _prism(bench: _Bench) -> _Sides:
    ours = bench.side("ticketfeed", bench.server)

    def peer() -> Side:
        page = fetch(ours.address, ours.requests[bench.pages // 2])
        server = bench.stack.enter_context(serve_prism(bench.folder, page, bench.cores.server))
        return Side("Prism", server.address, [server.pid], ours.requests)

    return ours, peer


_SIDES: dict[str, Callable[[_Bench], _Sides]] = {
    "raw": _raw,
    "raw-unkept": _raw_unkept,
    "gzip": _gzip,
    "gzip-unkept": _gzip_unkept,
    "gzip-updates": _gzip_updates,
    "postgres": _postgres,
    "watched": _watched,
    "include": _include,
    "deleted": _deleted,
    "workers": _workers,
    "search": _search,
    "prism": _prism,
}


def _against_application(bench: _Bench, name: str) -> _Sides:
    application, ours = APPLICATIONS[name], bench.side("ticketfeed", bench.server)

    def peer() -> Side:
        bench.files("raw", ours)
        database = str(bench.folder / f"{name}.db")
        bench.tell(f"filling the database of {application.name}")
        application.fill(database, saved_tickets(bench.folder / "pages" / "raw"))
        server = serve_application(application, database, bench.credentials, bench.cores.server)
        running = bench.stack.enter_context(server)
        return Side(application.name, running.address, [running.pid], ours.requests)

    return ours, peer
