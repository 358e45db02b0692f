"""Totals of a run: counts for each stream, and for tickets also by status and as a hash. Stored with the rows."""

from collections import Counter
from collections.abc import Mapping, Set
from typing import Any

from ticketfeed.client.steps import ExportPage, Key
from ticketfeed.protocol.feed_hash import hash_ticket
from ticketfeed.protocol.records import wire_second

__all__ = ["RunCounts", "Totals"]

_MODULUS = 2**128


class Totals:
    """Over all runs of one target. A ticket counts each time that it was received."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        self._streams: dict[str, dict[str, Any]] = {name: dict(total) for name, total in (stored or {}).items()}

    def add(self, page: ExportPage, began: Mapping[str, Any] | None = None) -> None:
        """`began`: the stream's state before the first page of the target."""
        total = self._streams.setdefault(page.stream, {"records": 0, "from": dict(began or {})})
        total["records"] += len(page.records)
        if page.skipped:
            total["skipped"] = page.skipped
        if page.stream != "tickets":
            return
        by_status = Counter({**total.get("by_status", {})})
        by_status.update(str(key.status) for key in page.keys)
        total["by_status"] = dict(sorted(by_status.items()))
        number = int(total.get("hash", "0"), 16)
        for key, record in zip(page.keys, page.records, strict=True):
            number += hash_ticket(key.id if isinstance(key.id, int) else 0, key.second, record)
        total["hash"] = f"{number % _MODULUS:032x}"

    def values(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return {name: dict(total) for name, total in self._streams.items()}


class RunCounts:
    """Of one run, for its summary. New is a ticket that the target did not hold; where the target cannot tell, one that
    was created after the position that the run began at."""

    def __init__(self, began_at: int) -> None:
        self._began = wire_second(began_at) if began_at else ""
        self.records: Counter[str] = Counter()
        self.new = self.changed = self.deleted = self.repeated = 0
        self.first_second = self.last_second = 0

    def add(self, page: ExportPage, held: Set[Any] | None = None) -> None:
        """`held`: those of the page's ids that the target held before; None where it cannot tell."""
        self.records[page.stream] += len(page.records)
        self.repeated += page.repeated
        earlier = None if held is None else set(held)
        for key in page.keys:
            if key.status == "deleted":
                self.deleted += 1
            elif self._is_new(key, earlier):
                self.new += 1
            else:
                self.changed += 1
            if earlier is not None:
                earlier.add(key.id)
        if page.keys:
            self.first_second = self.first_second or page.keys[0].second
            self.last_second = page.keys[-1].second

    def _is_new(self, key: Key, earlier: Set[Any] | None) -> bool:
        if earlier is not None:
            return key.id not in earlier
        return not self._began or (isinstance(key.created_at, str) and key.created_at > self._began)
