"""Fences an account by itself after its database was promoted or recovered to a point in time.

PostgreSQL begins another WAL timeline then, and what the server before it had committed last may be lost. The timeline
of an account's last write is stored in its row. Whoever locks the row and finds another one raises the watermark past
every position that can have been given out, before anything else is written.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.sql_session import (
    SqlSession,
    fence_new_accounts,
    find_clock,
    no_account_row,
    write_states,
)

__all__ = [
    "CLOCK_ERROR_SECONDS",
    "fence_new_timeline",
    "lock_row",
    "read_row",
    "store_timeline",
]

# How far a clock may be behind that of the server which wrote before. More would be reported as a wrong clock, since
# the first write after the fence is ahead by so much.
CLOCK_ERROR_SECONDS = watermark.CLOCK_BEHIND_SECONDS - 1

_log = logging.getLogger("ticketfeed.storage")


class _LockedRow(NamedTuple):
    """The row of lock_state or lock_state_nowait. `timeline`: the server's if it is not that of the last write."""

    states: States
    frozen_until: int
    timeline: str | None


def read_row(row: Sequence[Any]) -> _LockedRow:
    """What a row of these queries says."""
    *columns, frozen_until, timeline = row
    return _LockedRow(StateRow(*columns).states, frozen_until, timeline)


def lock_row(session: SqlSession, account: Account, now: int) -> tuple[States, int]:
    """Lock the account's row until the end of the transaction, and fence it if its server is another one.

    Returns it, and until when it is frozen. `now`: the newest time that any clock shows. Raises StoreUnavailable.
    """
    states, frozen_until, timeline = _lock(session, account)
    if timeline is None:
        return states, frozen_until
    newest = max(now, find_clock(session, account.account_id).time(now))
    states = watermark.fence_states(states, newest, CLOCK_ERROR_SECONDS)
    write_states(session, account, states)
    _write_timeline(session, account, timeline)
    _log.warning(
        "account %s: its database was promoted or recovered (WAL timeline %s): fenced at %d",
        account.subdomain,
        timeline,
        states[0].watermark,
    )
    return states, frozen_until


def store_timeline(session: SqlSession, account: Account) -> None:
    """Store the timeline of an account that this transaction has made."""
    timeline = _lock(session, account).timeline
    if timeline is not None:
        _write_timeline(session, account, timeline)


def fence_new_timeline(session: SqlSession, now: int) -> None:
    """Fence accounts that are created from now on, if the server is another one: one may have been lost with it."""
    timeline = session.value("read_new_timeline", {})
    if timeline is not None:
        fence_new_accounts(session, now, CLOCK_ERROR_SECONDS)
        session.execute("write_new_timeline", {"timeline": timeline})


def _lock(session: SqlSession, account: Account) -> _LockedRow:
    sql = session.queries.select("lock_state", StateRow)
    for row in session.fetch(sql, {"account_id": account.account_id}):
        return read_row(row)
    raise no_account_row(account)


def _write_timeline(session: SqlSession, account: Account, timeline: str) -> None:
    session.execute("write_timeline", {"account_id": account.account_id, "timeline": timeline})
