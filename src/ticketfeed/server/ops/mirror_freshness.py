"""Whether the mirrors of a store are fresh: what `/_ticketfeed/ready` says of them, and may depend on."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account

__all__ = ["MirrorFreshness"]


class MirrorFreshness:
    """The mirrors as they were last read. While the store cannot be read no page is copied either, so they only age.

    `seconds_max`: how far behind its source a mirror may be; 0 for any.
    """

    def __init__(self, seconds_max: int) -> None:
        self._seconds_max = seconds_max
        # By account_id.
        self._mirrors: dict[int, Mirror] | None = None

    def note(self, mirrors: Mapping[int, Mirror], unread: Iterable[Account]) -> None:
        """Take over what was read; of the accounts that were not read what is known from before."""
        known, ids = self._mirrors or {}, {account.account_id for account in unread}
        self._mirrors = {id: mirror for id, mirror in known.items() if id in ids} | dict(mirrors)

    def values(self, now: float) -> dict[str, Any] | None:
        """The status of the mirror that is furthest behind; of an archive only if there is no other. None for none."""
        return max((status_of(mirror, now) for mirror in (self._mirrors or {}).values()), key=_behind, default=None)

    def problem(self, now: float) -> str | None:
        """Why the server is not ready; "ok", or None where it does not depend on mirrors."""
        if not self._seconds_max:
            return None
        if self._mirrors is None:
            return "unknown"
        values = self.values(now)
        if values is None:
            return "there is none yet"
        behind = _behind(values)
        if behind <= self._seconds_max:
            return "ok"
        return "the first copy has begun" if math.isinf(behind) else f"{behind:,.0f} s behind its source"


def _behind(values: dict[str, Any]) -> float:
    if values["state"] == "archived":
        return -1.0
    return math.inf if values["behind_seconds"] is None else float(values["behind_seconds"])
