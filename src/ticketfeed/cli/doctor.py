"""ticketfeed doctor and ticketfeed ready: diagnose an installation, and check whether a server is ready.

`doctor` needs no running server. Like every command it migrates the store's schema; it changes nothing else.
"""

import asyncio
import contextlib
import http.client
import importlib.util
import os
import platform
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import typer

from ticketfeed.cli.options import opened, run_async, with_settings
from ticketfeed.cli.output import consumer_problems, masked, utc_time
from ticketfeed.clock import system_clock
from ticketfeed.data.status import read_status
from ticketfeed.protocol.errors import BadInput, NoStore, OperatorError, StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import NEW_ID_MAX, Account
from ticketfeed.protocol.resources import KINDS
from ticketfeed.server.run import bind, connect_to_self
from ticketfeed.settings import Settings
from ticketfeed.storage import Store, sqlite_path
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.replicas import find_replica_problem
from ticketfeed.storage.snapshot_contract import Snapshot

__all__ = ["doctor", "ready"]

_EXTRAS = {
    "postgres": "psycopg",
    "tls": "cryptography",
    "dashboard": "jinja2",
    "metrics": "prometheus_client",
    "telemetry": "opentelemetry.sdk",
}
_NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph")
_FSYNCS = 10
# An SSD takes 0.1 to 5 ms, a hard disk 10. From here on, commits that do not overlap are limited to 20 a second.
FSYNC_SECONDS_SLOW = 0.05
FREE_BYTES_MIN = 1 << 30

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    level: Level
    text: str
    advice: str = ""


@with_settings("store", "read_store", "host", "port")
def doctor(settings: Settings) -> None:
    """Diagnose the store, the disk, the accounts, the consumers and the port, with advice for each problem.

    Exit code 0: no check failed. 1: at least one did.
    """

    async def work() -> bool:
        has_failed = False
        async for finding in _findings(settings):
            advice = f"; {finding.advice}" if finding.advice else ""
            print(f"{finding.level:<4}  {finding.text}{advice}")
            has_failed = has_failed or finding.level == "fail"
        return has_failed

    if run_async(work()):
        raise typer.Exit(1)


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", f"ticketfeed {version('ticketfeed')}, {system}")
    installed = [name for name, module in _EXTRAS.items() if _is_installed(module)]
    missing = sorted(_EXTRAS.keys() - set(installed))
    advice = f"to add the others: pip install 'ticketfeed[{','.join(missing)}]'" if missing else ""
    yield Finding("ok", f"extras: {', '.join(installed) or 'none'}", advice)
    if settings.store.startswith("sqlite:///"):
        for finding in _check_disk(sqlite_path(settings.store)):
            yield finding
    url = masked("store", settings.store)
    try:
        started = time.perf_counter()
        async with opened(settings.store, read_urls=settings.read_store, create=False, test_clock=True) as store:
            seconds = time.perf_counter() - started
            yield Finding("ok", f"opened the store {url} in {seconds * 1000:.0f} ms")
            for read_url in settings.read_store:
                yield await asyncio.to_thread(_check_replica, read_url, store.store_id)
            async for finding in _check_store(store):
                yield finding
    except NoStore as error:
        yield Finding("fail", f"{url}: {error}", "create one with: ticketfeed load FILE")
    except OperatorError as error:
        yield Finding("fail", f"{url}: {error}")
    yield await asyncio.to_thread(_check_port, settings.host, settings.port)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _check_disk(file: Path) -> Iterator[Finding]:
    folder = file.absolute().parent
    if not folder.is_dir():
        return
    if not os.access(folder, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        yield Finding(
            "fail", f"{file} or its directory is not writable", "SQLite needs write access to both, even for reading"
        )
        return
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0
    if mode & 0o077:  # made by an earlier release, or changed since
        advice = f"it holds hashes of credentials: chmod 600 {file}*"
        yield Finding("warn", f"other users of this machine may open {file} (mode {mode:04o})", advice)
    free = shutil.disk_usage(folder).free
    size = file.stat().st_size if file.exists() else 0
    needed = max(FREE_BYTES_MIN, size // 10)
    level: Level = "ok" if free > needed else "warn"
    advice = "" if level == "ok" else "when the disk is full, writes fail; stored data stays intact"
    yield Finding(level, f"{size >> 20:,} MiB stored, {free >> 20:,} MiB free", advice)
    kind = _filesystem(folder)
    if kind in _NETWORK_FILESYSTEMS:
        yield Finding("warn", f"the store is on a network filesystem ({kind})", "SQLite's locks are unreliable there")
    seconds = _fsync_seconds(folder)
    level = "ok" if seconds < FSYNC_SECONDS_SLOW else "warn"
    advice = "" if level == "ok" else "every commit waits for one"
    yield Finding(level, f"fsync takes {seconds * 1000:.1f} ms (median of {_FSYNCS})", advice)


def _filesystem(folder: Path) -> str:
    """Its type, as Linux names it; empty on other systems."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    inside = [mount for mount in mounts if folder.is_relative_to(mount[1].replace("\\040", " "))]
    return max(inside, key=lambda mount: len(mount[1]))[2] if inside else ""


def _fsync_seconds(folder: Path) -> float:
    """The median time of a small write with fsync."""
    durations = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNCS):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def _check_replica(url: str, store_id: str) -> Finding:
    shown = masked("read_store", url)
    if problem := find_replica_problem(url, store_id):
        return Finding("fail", f"cannot read from {shown}: {problem}")
    return Finding("ok", f"can read from {shown}")


async def _check_store(store: Store) -> AsyncIterator[Finding]:
    try:
        faults = await store.inspect(lambda snapshot: list(snapshot.migration_problems()), accounts=[])
        for fault in faults:
            yield Finding("fail", fault)
        for warning in await store.inspect(lambda snapshot: list(snapshot.risks()), accounts=[]):
            yield Finding("warn", warning)
        accounts = await store.list_accounts()
        if not accounts:
            yield Finding(
                "warn", "the store has no accounts", "load tickets, or create one: ticketfeed account create NAME"
            )
        _, away = await read_in_batches(await store.list_shards(), store.find_sizes)
        for account in accounts:
            try:
                if account in away:
                    raise away[account]
                async for finding in _check_account(store, account):
                    yield finding
            except (StoreError, StoreUnavailable) as error:
                yield Finding("fail", f"account {account.subdomain} cannot be read: {error}")
    except (StoreError, StoreUnavailable) as error:
        yield Finding("fail", f"the store cannot be read: {error}", "check it with: ticketfeed check")


async def _check_account(store: Store, account: Account) -> AsyncIterator[Finding]:
    name, now = account.subdomain, system_clock()
    status = await read_status(store, account, now=now)
    if status.problem:
        yield Finding("warn", f"account {name}: consumer statistics are unavailable: {status.problem}")
    yield Finding("ok", f"account {name}: {status.state.ticket_count:,} tickets")
    if mirror := await store.read_mirror(account):
        yield _mirror_finding(account, mirror)
    if moved := store.clocks.at(account, now) - now:
        text = f"account {name}: its clock was moved, and is {abs(moved):,} s {'ahead' if moved > 0 else 'behind'}"
        yield Finding(
            "ok", text, f"only servers started with --test-clock follow; ticketfeed clock reset --account {name}"
        )
    if status.clock:
        advice = (
            f"set the clock right, then: ticketfeed repair clock --account {name}; see docs/how-to/repair-a-clock.md"
        )
        yield Finding("warn", f"account {name}: {status.clock}", advice)
    if large := await store.inspect(lambda snapshot: _large_ids(snapshot, account), accounts=[account]):
        advice = "new ids are made below them; ticketfeed check names each"
        yield Finding("warn", f"account {name}: ids near the end of 64 bits: {', '.join(large)}", advice)
    if not any(token.revoked_at is None for token in await store.list_credentials(account)):
        advice = "create one: ticketfeed token create --email you@example.com"
        yield Finding("warn", f"account {name} has no active credentials", advice)
    for each in status.consumers:
        if each.consumer.is_looping or each.missed:
            consumer = f"{each.consumer.email} ({each.consumer.user_agent or 'no user agent'})"
            yield Finding("warn", f"account {name}: consumer {consumer} {'; '.join(consumer_problems(each))}")


def _mirror_finding(account: Account, mirror: Mirror) -> Finding:
    name = account.subdomain
    if mirror.closed_at is not None:
        return Finding("ok", f"account {name}: an archive of {mirror.source}, closed on {utc_time(mirror.closed_at)}")
    text = f"account {name}: mirrors {mirror.source}"
    if mirror.status.last_error:
        return Finding("warn", f"{text}; its last error: {mirror.status.last_error}")
    if mirror.lease is None:
        return Finding("warn", f"{text}; nobody copies it", f"ticketfeed mirror {mirror.source} --account {name}")
    return Finding("ok", text)


def _large_ids(snapshot: Snapshot, account: Account) -> list[str]:
    """The first of each kind that leaves too little room for new ids. Users of a mirror's own do not."""
    is_mirror = next(snapshot.mirror(account), None) is not None
    kinds = [kind for kind in KINDS if not (is_mirror and kind == "users")]
    first = ((kind, next(snapshot.ids_after(account, kind, NEW_ID_MAX), None)) for kind in kinds)
    return [f"{kind} {id}" for kind, id in first if id is not None]


def _check_port(host: str, port: int) -> Finding:
    status = _ready_status(host, port)
    if status == 200:
        return Finding("ok", f"a ticketfeed server on {host} port {port} is ready")
    if status == 503:
        return Finding("fail", f"a ticketfeed server on {host} port {port} is not ready")
    if status is not None:
        return Finding("warn", f"another program listens on {host} port {port}", "serve on another --port")
    try:
        bind(host, port).close()
    except BadInput as error:
        return Finding("warn", str(error), "serve on another --port")
    return Finding("ok", f"{host} port {port} is free")


@with_settings("host", "port")
def ready(settings: Settings) -> None:
    """Check whether the server at this address is ready. Exit code 0: ready. 1: not ready, or not running."""
    if _ready_status(settings.host, settings.port) != 200:
        print("not ready")
        raise typer.Exit(1)
    print("ready")


def _ready_status(host: str, port: int) -> int | None:
    """200 or 503, over http or https; 0 for the response of another program, None for no response."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    status: int | None = None
    for has_tls in (False, True):
        connection = connect_to_self(host, port, has_tls)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/_ticketfeed/ready")
            response = connection.getresponse()
            status = 0
            if b'"checks"' in response.read():
                return response.status
    return status
