"""Operational endpoints: liveness, readiness, Prometheus metrics.

Liveness and readiness need no credentials, and are answered within a second whatever locks the store. Metrics of all
accounts need the metrics token; an admin sees those of the own account only.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from hmac import compare_digest
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.clock import system_instant
from ticketfeed.data.status import FeedStatus, farthest_ahead, read_status
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.errors import RoleTooLow, StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.server.api.call import Service, admit
from ticketfeed.server.request_context import request_context
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.snapshot_contract import Snapshot

__all__ = ["HEALTH_ROUTES"]

# How long the primary is waited for before replicas are asked.
PROBE_SECONDS = 0.4
# And, within that, a server behind it that holds accounts.
ACCOUNTS_SECONDS = 0.25
# How old an answer may be that serves while the store is slow, as when a server that vanished is given up.
STALE_SECONDS = 5.0
# How often nodes of Citus are asked: one that is away takes seconds to find out.
NODES_SECONDS = 15.0
_NO_STORE = {"cache-control": "no-store"}


async def _health(_request: Request) -> Response:
    """The process answers. The store is not queried: restarting the process would not repair it."""
    return JSONResponse({"status": "alive"}, headers=_NO_STORE)


async def _ready(request: Request) -> Response:
    """200 if the store can be read, from the primary or a replica, and has the schema of this release; else 503.

    With `mirror_fresh_seconds`, mirrors must be fresh, too.
    """
    service: Service = request.app.state.service
    try:
        checks = await service.recent_reads.get("ready", lambda: _check(service), stale_seconds=STALE_SECONDS)
    except (StoreError, StoreUnavailable):  # the reason is logged, not shown: the caller is not authenticated
        return JSONResponse({"status": "unready", "checks": {"store": "cannot be read"}}, 503, headers=_NO_STORE)
    now, mirrors = system_instant(), service.mirror_freshness
    if (freshness := mirrors.problem(now)) is not None:
        checks = {**checks, "mirror": freshness}
    is_ready = checks["migrations"] in ("ok", "unknown") and freshness in ("ok", None)
    body: dict[str, Any] = {"status": "ready" if is_ready else "unready", "checks": checks}
    if (values := mirrors.values(now)) is not None:
        body["mirror"] = values
    return JSONResponse(body, 200 if is_ready else 503, headers=_NO_STORE)


async def _check(service: Service) -> dict[str, str]:
    """What was checked -> "ok", or what is wrong. Raises StoreError, StoreUnavailable."""
    probing = service.recent_reads.get("probe", lambda: _probe(service), stale_seconds=0)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await probing
    except (StoreError, StoreUnavailable, TimeoutError):  # the primary is down: do replicas still answer?
        await service.store.list_accounts(current=False)
        return {"store": "can only be read", "migrations": "unknown", "clock": "unknown"}


async def _probe(service: Service) -> dict[str, str]:
    """Ask the primary. No account is named: the caller is not authenticated. With a wrong clock one can read."""

    def look(snapshot: Snapshot) -> list[str]:
        return list(snapshot.migration_problems())

    problems, ahead = await service.store.inspect(look, accounts=[], is_probe=True), 0
    # An account out of reach is no reason to be unready, and not waited for by the probe that comes next.
    with contextlib.suppress(StoreError, StoreUnavailable, TimeoutError):
        if not problems:  # of another release, a table may be missing or another one
            async with asyncio.timeout(ACCOUNTS_SECONDS):
                ahead = await service.recent_reads.get("accounts", lambda: _look_at_accounts(service))
    clock = await service.store.clock_problem()
    if clock is None and ahead:
        clock = f"the newest change of an account is {ahead:,} s ahead of now; see ticketfeed repair clock"
    return {"store": "ok", "migrations": "; ".join(problems) or "ok", "clock": clock or "ok"}


async def _look_at_accounts(service: Service) -> int:
    """How far an account is ahead of its time, of those that can be reached; and how fresh their mirrors are."""

    def look(snapshot: Snapshot, of: Sequence[Account] | None) -> tuple[dict[int, Mirror], int]:
        return dict(snapshot.mirrors(of)), farthest_ahead(snapshot, service.now, of)

    seen = await service.all_accounts.inspect(service.store, look)
    service.mirror_freshness.note(
        {id: mirror for mirrors, _ in seen.found for id, mirror in mirrors.items()}, seen.away | seen.left
    )
    return max((ahead for _, ahead in seen.found), default=0)


async def _metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    token = service.settings.metrics_token
    _, _, sent_token = request.headers.get("authorization", "").partition(" ")
    account = None
    if token is None or not compare_digest(sent_token.strip().encode(), token.encode()):
        call = await admit(request)
        if call.identity.role != "admin":
            raise RoleTooLow
        account = call.account
    request_context(request.scope).account = None  # scrapes are not listed among the requests of the account
    if service.metrics is None:
        missing = "metrics need prometheus-client: pip install 'ticketfeed[metrics]'\n"
        return Response(missing, 501, media_type="text/plain", headers=_NO_STORE)
    statuses, nodes = await asyncio.gather(_read_statuses(service, account), _read_nodes(service, account))
    at = system_instant()
    mirrors = {each.account.subdomain: status_of(each.mirror, at) for each in statuses or () if each.mirror is not None}
    service.metrics.note_pools(service.store.read_pools())
    # In a thread: the text of thousands of accounts takes tenths of a second.
    only = account.subdomain if account else None
    text, content_type = await asyncio.to_thread(service.metrics.text, statuses, mirrors, only, nodes)
    return Response(text, headers={**_NO_STORE, "content-type": content_type})


async def _read_statuses(service: Service, only: Account | None) -> list[FeedStatus] | None:
    """The status of all accounts or of one; None if the store cannot be read, so that counters are still exported."""
    now, settle = service.clock(), service.settings.settle_seconds

    async def read() -> list[FeedStatus]:
        if only is None:
            return await service.all_statuses.read(service.store, now=now, settle_seconds=settle)
        return [await read_status(service.store, only, now=now, settle_seconds=settle)]

    try:
        return await service.recent_reads.get(("metrics", only), read)
    except (StoreError, StoreUnavailable):
        return None


async def _read_nodes(service: Service, only: Account | None) -> list[NodeStatus]:
    """The nodes of Citus, for who sees all accounts; none where there are none, or the store cannot be read."""

    async def read() -> list[NodeStatus]:
        return await service.store.inspect(lambda snapshot: list(snapshot.nodes()), accounts=[])

    if only is not None:
        return []
    try:
        return await service.recent_reads.get("nodes", read, keep=lambda _: NODES_SECONDS)
    except (StoreError, StoreUnavailable):
        return []


HEALTH_ROUTES = [
    Route("/_ticketfeed/health", _health, methods=["GET"]),
    Route("/_ticketfeed/ready", _ready, methods=["GET"]),
    Route("/_ticketfeed/metrics", _metrics, methods=["GET"]),
]
