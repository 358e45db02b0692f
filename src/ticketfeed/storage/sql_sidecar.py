"""What happens in the sidecar's transactions, without I/O: generators that yield statements and are sent rows.

One engine runs them on a connection of its own thread, the other on one of its event loop. Rows are added first, then
locked, changed and written back, so that processes which do the same at once wait for each other.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from ticketfeed.protocol.consumers import (
    ANONYMOUS_REQUESTS_KEPT,
    TEST_REQUESTS_KEPT,
    Consumer,
    RequestRecord,
    UsageUpdate,
    consumer_key,
    merge_usage,
    recent_consumers,
    recent_requests,
)
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult, Window, count_request
from ticketfeed.storage.queries import Dialect
from ticketfeed.storage.sidecar_contract import LEASE_SECONDS_MAX, LOGINS_MAX

__all__ = [
    "Statement",
    "Steps",
    "add_login_steps",
    "count_request_steps",
    "decode_all_consumers",
    "decode_consumers",
    "decode_requests",
    "end_lease_steps",
    "end_login_steps",
    "erase_account_steps",
    "erase_usage_steps",
    "record_usage_steps",
    "replace_consumers_steps",
    "replace_full_accounts_steps",
    "take_lease_steps",
]

T = TypeVar("T")

# (is_anonymous, how to add a request, how to forget others)
_REQUESTS = (
    (False, "add_request", "forget_requests"),
    (True, "add_anonymous_request", "forget_anonymous_requests"),
)


class Statement(NamedTuple):
    """A query by name, to be run once for each of the bindings. Rows are sent back where there is one."""

    name: str
    bindings: Sequence[Mapping[str, Any]]


# Each is sent the rows of its statement: an empty list for one that returns none.
Steps = Generator[Statement, list[Any], T]


def count_request_steps(
    dialect: Dialect, account: Account, limits: Sequence[RateLimit], now: int
) -> Steps[RateLimitResult]:
    """Count one request."""
    own = {"account_id": account.account_id}
    names = sorted(limit.name for limit in limits)
    yield Statement("add_window", [{**own, "name": name} for name in names])
    rows = yield Statement("lock_windows", [{**own, "names": dialect.bind_list(names)}])
    windows, result = count_request({name: Window(started, used) for name, started, used in rows}, limits, now)
    if result.refused is None:
        yield Statement("write_window", [{**own, "name": name, **windows[name]._asdict()} for name in sorted(windows)])
    return result


def record_usage_steps(
    dialect: Dialect,
    account: Account,
    consumers: Mapping[str, UsageUpdate],
    requests: Sequence[RequestRecord],
    now: float,
    keep: int,
) -> Steps[None]:
    """Add what one process has seen."""
    own = {"account_id": account.account_id}
    if consumers:
        keys = sorted(consumers)
        added = [{**own, "key": key, "body": b""} for key in keys if not consumers[key].is_refused]
        if added:
            yield Statement("add_consumer", added)
        rows = yield Statement("lock_consumers", [{**own, "keys": dialect.bind_list(keys)}])
        after = {
            key: merge_usage(msgspec.json.decode(body, type=Consumer) if body else None, consumers[key])
            for key, body in rows
        }
        written = [
            {**own, "key": key, "last_at": after[key].last_at, "body": msgspec.json.encode(after[key])} for key in after
        ]
        if written:
            yield Statement("write_consumer", written)
        seen = yield Statement("list_consumers", [own])
        old = {key for key, _ in seen} - recent_consumers(seen, now)
        yield Statement("forget_consumers", [{**own, "keys": dialect.bind_list(sorted(old))}])
    for is_anonymous, add, forget in _REQUESTS:
        bodies = [msgspec.json.encode(request) for request in requests if request.is_anonymous is is_anonymous]
        if bodies:
            yield Statement(add, [{**own, "body": body} for body in bodies])
            yield Statement(forget, [{**own, "keep": ANONYMOUS_REQUESTS_KEPT if is_anonymous else keep}])


def erase_usage_steps(dialect: Dialect, account: Account, user_ids: set[int]) -> Steps[None]:
    """Forget the recent requests, and the consumers of these users."""
    own = {"account_id": account.account_id}
    yield Statement("erase_requests", [own])
    yield Statement("erase_anonymous_requests", [own])
    if user_ids:
        rows = yield Statement("read_consumers", [own])
        keys = [consumer_key(consumer) for consumer in decode_consumers(rows) if consumer.user_id in user_ids]
        yield Statement("forget_consumers", [{**own, "keys": dialect.bind_list(keys)}])


def erase_account_steps(account: Account) -> Steps[None]:
    """Forget all of an account."""
    own = {"account_id": account.account_id}
    for name in ("erase_requests", "erase_anonymous_requests", "erase_consumers", "erase_windows", "erase_logins"):
        yield Statement(name, [own])


def replace_consumers_steps(dialect: Dialect, account: Account, consumers: Sequence[Consumer]) -> Steps[None]:
    """Store these consumers in place of all others, and forget the recent requests."""
    own = {"account_id": account.account_id}
    yield Statement("erase_requests", [own])
    yield Statement("erase_anonymous_requests", [own])
    seen = yield Statement("list_consumers", [own])
    yield Statement("forget_consumers", [{**own, "keys": dialect.bind_list([key for key, _ in seen])}])
    rows = [(consumer_key(each), each.last_at, msgspec.json.encode(each)) for each in consumers]
    if rows:
        yield Statement("add_consumer", [{**own, "key": key, "body": body} for key, _, body in rows])
        written = [{**own, "key": key, "last_at": last_at, "body": body} for key, last_at, body in rows]
        yield Statement("write_consumer", written)


def add_login_steps(account: Account, token_hash: str, now: int, ends_at: int) -> Steps[None]:
    """Store a login, and forget those that are over."""
    own = {"account_id": account.account_id}
    yield Statement("forget_logins", [{**own, "now": now, "keep": LOGINS_MAX - 1}])
    yield Statement("add_login", [{**own, "token_hash": token_hash, "ends_at": ends_at}])


def end_login_steps(account: Account, token_hash: str) -> Steps[None]:
    """Delete a login."""
    yield Statement("end_login", [{"account_id": account.account_id, "token_hash": token_hash}])


def take_lease_steps(name: str, owner: str, seconds: float) -> Steps[bool]:
    """Take or renew a lease."""
    bindings = {"name": name, "owner": owner, "seconds": seconds, "longest": LEASE_SECONDS_MAX}
    return bool((yield Statement("take_lease", [bindings])))


def end_lease_steps(name: str, owner: str) -> Steps[None]:
    """Give a lease back."""
    yield Statement("end_lease", [{"name": name, "owner": owner}])


def replace_full_accounts_steps(dialect: Dialect, account_ids: set[int]) -> Steps[None]:
    """Store which accounts have reached their quotas, in place of those before."""
    rows = yield Statement("read_full_accounts", [{}])
    before = {id for (id,) in rows}
    yield Statement("forget_full_accounts", [{"ids": dialect.bind_list(sorted(before - account_ids))}])
    if added := sorted(account_ids - before):
        yield Statement("add_full_account", [{"account_id": id} for id in added])


def decode_consumers(rows: Sequence[tuple[Any, ...]]) -> list[Consumer]:
    """The rows of read_consumers."""
    return [msgspec.json.decode(body, type=Consumer) for (body,) in rows]


def decode_all_consumers(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[Consumer]]:
    """The rows of read_all_consumers, by account_id."""
    found: dict[int, list[Consumer]] = {}
    for account_id, body in rows:
        found.setdefault(account_id, []).append(msgspec.json.decode(body, type=Consumer))
    return found


def decode_requests(rows: Sequence[tuple[Any, ...]]) -> list[RequestRecord]:
    """The rows of read_requests, newest first."""
    found = (msgspec.json.decode(body, type=RequestRecord) for (body,) in rows)
    return recent_requests(found, TEST_REQUESTS_KEPT)
