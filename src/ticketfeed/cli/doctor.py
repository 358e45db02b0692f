"""doctor, ready: what is in the way of a sound server, each with what to do about it; and whether one serves.

The doctor needs no server; where one runs already it looks at the same store. Like every command it brings the store's
schema up to date; otherwise it changes nothing.
"""

import asyncio
import contextlib
import http.client
import importlib.util
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import typer

from ticketfeed.cli.config import masked
from ticketfeed.cli.consumers import problems
from ticketfeed.cli.options import DEFAULT_STORE, StoreOption, opened, run_async
from ticketfeed.cli.serve import HostOption, PortOption, ReadStoreOption
from ticketfeed.clock import system_clock
from ticketfeed.data.status import read_status
from ticketfeed.protocol.errors import BadInput, OperatorError, StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.watermark import clock_behind
from ticketfeed.server.run import bind, connect_to_self
from ticketfeed.storage import Store, sqlite_path

__all__ = ["register"]

_EXTRAS = {
    "postgres": "psycopg",
    "tls": "cryptography",
    "page": "jinja2",
    "metrics": "prometheus_client",
    "telemetry": "opentelemetry.sdk",
}
_NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph")
_SYNCS = 10
SYNC_SECONDS_SLOW = 0.05
FREE_BYTES_MIN = 1 << 30

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    level: Level
    text: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(ready)


def doctor(
    store: StoreOption = DEFAULT_STORE,
    read_store: ReadStoreOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
) -> None:
    """Look for what is in the way of a sound server, and say what to do about it.

    Exit code 0: nothing fails. 1: something does.
    """

    async def work() -> bool:
        failed = False
        async for finding in _findings(store, tuple(read_store or ()), host, port):
            advice = f"; {finding.advice}" if finding.advice else ""
            print(f"{finding.level:<4}  {finding.text}{advice}")
            failed = failed or finding.level == "fail"
        return failed

    if run_async(work()):
        raise typer.Exit(1)


async def _findings(url: str, read_urls: tuple[str, ...], host: str, port: int) -> AsyncIterator[Finding]:
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", f"ticketfeed {version('ticketfeed')}, {system}")
    there = [name for name, module in _EXTRAS.items() if _has(module)]
    missing = sorted(_EXTRAS.keys() - set(there))
    advice = f"for the others: pip install 'ticketfeed[{','.join(missing)}]'" if missing else ""
    yield Finding("ok", f"extras: {', '.join(there) or 'none'}", advice)
    if url.startswith("sqlite:///"):
        for finding in _look_at_folder(sqlite_path(url)):
            yield finding
    try:
        started = time.perf_counter()
        async with opened(url, read_urls=read_urls, create=False) as store:
            seconds = time.perf_counter() - started
            yield Finding("ok", f"the store {masked('store', url)} opens, in {seconds * 1000:.0f} ms")
            async for finding in _look_at_store(store):
                yield finding
    except OperatorError as error:
        text = f"the store {masked('store', url)} does not open: {error}"
        yield Finding("fail", text, "make one with: ticketfeed load FILE")
    yield await asyncio.to_thread(_look_at_port, host, port)


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _look_at_folder(file: Path) -> Iterator[Finding]:
    folder = file.absolute().parent
    if not folder.is_dir():
        return
    if not os.access(folder, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        yield Finding("fail", f"{file} or its folder cannot be written", "SQLite needs both, also for reading")
        return
    free = shutil.disk_usage(folder).free
    size = file.stat().st_size if file.exists() else 0
    needed = max(FREE_BYTES_MIN, size // 10)
    level: Level = "ok" if free > needed else "warn"
    advice = "" if level == "ok" else "a full disk refuses writes, and loses none"
    yield Finding(level, f"{size >> 20:,} MiB stored, {free >> 20:,} MiB free", advice)
    kind = _filesystem(folder)
    if kind in _NETWORK_FILESYSTEMS:
        yield Finding("warn", f"the store is on a network filesystem ({kind})", "SQLite's locks are not safe there")
    slowest = _sync_seconds(folder)
    level = "ok" if slowest < SYNC_SECONDS_SLOW else "warn"
    advice = "" if level == "ok" else "every commit waits for that"
    yield Finding(level, f"the disk takes {slowest * 1000:.1f} ms to make a write last", advice)


def _filesystem(folder: Path) -> str:
    """Its kind, as Linux knows it; empty elsewhere."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    inside = [mount for mount in mounts if folder.is_relative_to(mount[1].replace("\\040", " "))]
    return max(inside, key=lambda mount: len(mount[1]))[2] if inside else ""


def _sync_seconds(folder: Path) -> float:
    """The median of a few small writes."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


async def _look_at_store(store: Store) -> AsyncIterator[Finding]:
    try:
        faults = await store.inspect(lambda snapshot: list(snapshot.migration_faults()))
        for fault in faults:
            yield Finding("fail", fault)
        for warning in await store.inspect(lambda snapshot: list(snapshot.risks())):
            yield Finding("warn", warning)
        accounts = await store.list_accounts()
        if not accounts:
            yield Finding("warn", "there is no account", "load tickets, or: ticketfeed account create NAME")
        for account in accounts:
            async for finding in _look_at_account(store, account):
                yield finding
    except (StoreError, StoreUnavailable) as error:
        yield Finding("fail", f"the store cannot be read: {error}", "see: ticketfeed check")


async def _look_at_account(store: Store, account: Account) -> AsyncIterator[Finding]:
    name, now = account.subdomain, system_clock()
    found = await read_status(store, account, now=now)
    if found.problem:
        yield Finding("warn", f"account {name}: {found.problem}")
    yield Finding("ok", f"account {name}: {found.state.ticket_count:,} tickets")
    behind = clock_behind(found.state, now)
    if behind:
        text = f"account {name}: the newest change is {behind} s ahead of this clock, and shows when the clock is there"
        yield Finding("warn", text, "is the clock right? see: docs/how-to/back-up.md")
    if not any(token.revoked_at is None for token in await store.list_credentials(account)):
        yield Finding("warn", f"account {name}: nobody can come in", "ticketfeed token create --email you@example.com")
    for standing in found.standings:
        wrong = problems(standing)
        if standing.consumer.is_looping or standing.missed:
            who = f"{standing.consumer.email} with {standing.consumer.user_agent or 'no user agent'}"
            yield Finding("warn", f"account {name}: the consumer {who} {'; '.join(wrong)}")


def _look_at_port(host: str, port: int) -> Finding:
    status = _ask_ready(host, port)
    if status == 200:
        return Finding("ok", f"a ticketfeed on {host} port {port} is ready")
    if status == 503:
        return Finding("fail", f"a ticketfeed on {host} port {port} is not ready")
    if status is not None:
        return Finding("warn", f"something else answers on {host} port {port}", "serve with another --port")
    try:
        bind(host, port).close()
    except BadInput as error:
        return Finding("warn", str(error), "serve with another --port")
    return Finding("ok", f"{host} port {port} is free")


def ready(host: HostOption = "127.0.0.1", port: PortOption = 8080) -> None:
    """Ask the server that listens there whether it is ready. Exit code 0: it is. 1: it is not, or there is none."""
    if _ask_ready(host, port) != 200:
        print("not ready")
        raise typer.Exit(1)
    print("ready")


def _ask_ready(host: str, port: int) -> int | None:
    """200 or 503, over http or https; 0 for somebody else's answer, None for none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    found: int | None = None
    for has_tls in (False, True):
        connection = connect_to_self(host, port, has_tls)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/_ticketfeed/ready")
            answer = connection.getresponse()
            found = 0
            if b'"checks"' in answer.read():
                return answer.status
    return found
