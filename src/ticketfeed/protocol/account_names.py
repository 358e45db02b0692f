"""Names of accounts: each is the first label of a host name."""

import re

from ticketfeed.protocol.errors import BadInput

__all__ = ["check_account_name"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def check_account_name(name: str) -> str:
    """The name. Raises BadInput if it cannot be one."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"invalid account name {name!r}: use 1-63 characters, a-z, 0-9 and hyphens; it may not start or end with "
            "a hyphen"
        )
    return name
