"""Sideloads: which records belong beside a page's tickets.

A name in `include` becomes a top-level array, present even when empty, each record once, ordered by id.
Unknown names are ignored, as the wire does. Rows carry their links in the columns named by LINK_COLUMNS.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["LINK_COLUMNS", "SIDELOADED_KINDS", "pack_ids", "plan_sideloads", "sideloads_asked"]

# Columns of a stored ticket that sideloads follow; `*_ids` are packed 64-bit integers.
LINK_COLUMNS = ("user_ids", "group_id", "organization_id")

# include name -> (its link column, its place in a row behind generated_timestamp, id and body)
SIDELOADED_KINDS = {"users": 3, "groups": 4, "organizations": 5}


def pack_ids(ids: Iterable[int]) -> bytes:
    """Ids as packed native 64-bit integers, each once, ascending."""
    return array("q", sorted(set(ids))).tobytes()


def sideloads_asked(include: Sequence[str]) -> bool:
    """Whether rows must carry their links."""
    return any(kind in SIDELOADED_KINDS for kind in include)


def plan_sideloads(include: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[int]]:
    """Kind -> ids to read, ascending, for every kind in `include` that can be sideloaded."""
    return {kind: _linked_ids(rows, SIDELOADED_KINDS[kind]) for kind in include if kind in SIDELOADED_KINDS}


def _linked_ids(rows: Sequence[tuple[Any, ...]], column: int) -> list[int]:
    links = [row[column] for row in rows]
    if column == SIDELOADED_KINDS["users"]:
        return sorted(set(array("q", b"".join(links))))
    return sorted(set(links) - {None})
