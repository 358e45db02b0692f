"""Sideloads: which records belong beside a page's tickets.

A name in `include` becomes a top-level array, present even when empty, each record once, ordered by id.
Unknown names are ignored, as the wire does.
"""

from array import array
from collections.abc import Iterable, Sequence

from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import LinkedTicketRow, column

__all__ = ["SIDELOADED_KINDS", "pack_ids", "plan_sideloads"]

# include name -> the column of a LinkedTicketRow that links to its records
SIDELOADED_KINDS = {
    kind: resource.ticket_column for kind, resource in RESOURCES.items() if resource.ticket_column is not None
}
_PACKED = {"user_ids", "agreement_ids"}


def pack_ids(ids: Iterable[int]) -> bytes:
    """Ids as packed native 64-bit integers, each once, ascending."""
    return array("q", sorted(set(ids))).tobytes()


def plan_sideloads(include: Sequence[str], rows: Sequence[LinkedTicketRow]) -> dict[str, list[int]]:
    """Kind -> ids to read, ascending, for every kind in `include` that can be sideloaded."""
    return {kind: _linked_ids(rows, SIDELOADED_KINDS[kind]) for kind in include if kind in SIDELOADED_KINDS}


def _linked_ids(rows: Sequence[LinkedTicketRow], name: str) -> list[int]:
    links = set(column(rows, name)) - {None}
    return sorted(set(array("q", b"".join(links))) if name in _PACKED else links)
