"""The drafts of one write, batch by batch: of several with one id the newest wins.

A write of one batch keeps what it was given in memory; a longer one in the engine's temporary table, so that memory
stays the same whatever the length.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["batches", "newest_given"]

T = TypeVar("T")


def batches(drafts: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` drafts; the last one may be shorter."""
    drafts = iter(drafts)
    while batch := list(itertools.islice(drafts, size)):
        yield batch


def newest_given(
    drafts: Iterable[TicketDraft],
    size: int,
    make: Callable[[], None],
    find: Callable[[Sequence[int]], dict[int, int]],
    note: Callable[[list[tuple[int, int]]], None],
) -> Iterator[tuple[int, list[TicketDraft]]]:
    """For each batch how many drafts it had, and those to store: each newer than all of its ticket before it.

    `make` an empty table of (id, generated_timestamp), `find` ids in it, `note` them: asked for only by a second batch.
    """
    following = batches(drafts, size)
    batch, has_table = next(following, []), False
    while batch:
        after = next(following, [])
        before = find([draft.id for draft in batch]) if has_table else {}
        chosen: dict[int, TicketDraft] = {}
        for draft in batch:
            earlier = chosen[draft.id].generated_timestamp if draft.id in chosen else before.get(draft.id, 0)
            if draft.generated_timestamp >= earlier:
                chosen[draft.id] = draft
        if after:
            if not has_table:
                make()
                has_table = True
            note([(id, draft.generated_timestamp) for id, draft in chosen.items()])
        yield len(batch), list(chosen.values())
        batch = after
