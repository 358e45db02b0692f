"""Saved accounts: copies of an account as it was, to which it can be rewound, and of which others can be forked."""

import re
from dataclasses import replace
from typing import NamedTuple

from ticketfeed.protocol.errors import BadInput, NotFound
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.protocol.watermark import FENCED, States

__all__ = [
    "SAVED_MAX",
    "SavedAccount",
    "account_exists",
    "check_saved_name",
    "find_saved",
    "forked_states",
    "rewound_states",
    "saved_subdomain",
]

# Of one account. Each is as large as the account was.
SAVED_MAX = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SavedAccount(NamedTuple):
    """`saved_at`: by the account's clock. `account`: under which its rows are stored; no host names it."""

    name: str
    saved_at: int
    tickets: int
    account: Account


def saved_subdomain(account: Account, name: str) -> str:
    """What a saved account is called in the store. No host has an @."""
    return f"{account.subdomain}@{name}"


def check_saved_name(name: str, known: list[SavedAccount]) -> None:
    """Raises BadInput for a name that is none, or in use, and for too many."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot be the name of a snapshot: use 1-63 letters, digits and . _ -")
    if any(each.name == name for each in known):
        raise BadInput(f"there is a snapshot {name!r} already; delete it first")
    if len(known) >= SAVED_MAX:
        raise BadInput(f"an account has {SAVED_MAX} snapshots at most; delete one first")


def account_exists(subdomain: str) -> BadInput:
    """The error of a fork whose name is in use."""
    return BadInput(f"there is an account {subdomain!r} already")


def find_saved(name: str, known: list[SavedAccount]) -> SavedAccount:
    """The one of this name. Raises NotFound."""
    for each in known:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in known)
    raise NotFound(f"there is no snapshot {name!r}{f'; there are: {names}' if names else ''}")


def rewound_states(current: States, saved: States, *, fences: bool) -> States:
    """The account's row after it was rewound.

    Cached pages are of what it was before: both counts go past all that their holders can have heard of. With `fences`
    changes from now on follow every position that was given out, for readers that are not rewound. Without, the feed
    goes on as it did after it was saved.
    """
    tickets, records = saved
    before = current[0]
    tickets = replace(
        tickets, invalidations=before.invalidations + FENCED, record_changes=before.record_changes + FENCED
    )
    if not fences:
        return tickets, records
    return _fenced(current[0], tickets), _fenced(current[1], records)


def _fenced(before: FeedState, after: FeedState) -> FeedState:
    return replace(after, watermark=max(before.watermark, before.last_generated_timestamp, after.watermark))


def forked_states(saved: States, fenced_at: int) -> States:
    """The row of a new account that begins as a saved one: no page of it is cached anywhere. `fenced_at`: where new
    accounts begin."""
    tickets, records = (replace(each, watermark=max(each.watermark, fenced_at)) for each in saved)
    return replace(tickets, invalidations=0, record_changes=0), records
