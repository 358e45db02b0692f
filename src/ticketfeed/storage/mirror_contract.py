"""The part of the Store contract that a mirror needs: an account that is a copy of another one, its source.

Every write of such an account is refused with AccountIsMirror, in the transaction and so in any process, but for one
that says `mirror=True` (`WriteStore.write`). What only concerns credentials is allowed: tokens and passwords, OAuth,
and new users of the mirror's own, whose ids begin at `mirrors.LOCAL_ID_MIN`. These users can sign in and are in lists;
exports do not have them, and no write of the mirror touches them.

In a write with `mirror=True`:

* `put_tickets`, `put_records` and `load` keep the seconds of their drafts, as the source has them. One whose second the
  feed has closed here already gets the first open one instead, so whatever a source does, no reader misses what is
  stored here; at a source that keeps the promise itself this does not happen. What is stored already, byte for byte but
  for the second, is left alone, and so is a ticket whose stored state is newer than the draft. They return how many
  were stored.
* The watermark of tickets becomes `passed` of the stream `tickets` in the mirror that was put, and that of each kind
  in `mirrors.FEED_KINDS` the one of its stream; none goes back. Nothing else closes a second of a mirror.
* In an archive, a mirror with `closed_at`, everything that is stored can be read at once, and of what comes from files
  nothing replaces what is newer here, and no ticket one of the same second.
* `second` is the end of what is stored, for what the write changes by itself: what an erasure at the source leaves.
* Everything becomes visible at once, the mirror with it: a walk goes on from the states that are stored.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["MirrorStore", "MirrorTransaction"]


class MirrorTransaction(Protocol):
    """What a write transaction offers a mirror. All but `mirror` needs a write with `mirror=True`, else ValueError."""

    def start_copying(self) -> None:
        """Make this a write with `mirror=True`. Called by the store, before the work begins."""

    @property
    def mirror(self) -> Mirror | None:
        """What is stored of the account's mirror, or was put last; None if the account is none."""

    def put_mirror(self, mirror: Mirror) -> None:
        """Store it. The first time makes the account a mirror: BadInput if it holds tickets or records of its own."""

    def overwrite(self, drafts: Iterable[TicketDraft | RecordDraft]) -> int:
        """As `load`, whatever is stored: for repairs, and for erasures of what a source has deleted for good."""

    def delete_tickets(self, ids: Sequence[int]) -> int:
        """Remove those of these tickets that exist, as if they had never been; returns how many."""

    def delete_records(self, kind: str, ids: Sequence[int]) -> int:
        """Remove those of these records that exist; returns how many. Users of the mirror's own stay."""

    def list_ids(self, kind: str) -> list[int]:
        """The ids of the records of a kind that are not deleted, without users of the mirror's own, in order."""

    def fence_mirror(self, clock_error_seconds: int) -> None:
        """Raise the watermarks past every position that can have been given out, at the source too.

        For a source that has gone back: what it gives from then on is put after them.
        """


class MirrorStore(Protocol):
    """Reads from the primary."""

    async def read_mirror(self, account: Account) -> Mirror | None:
        """The account's mirror; None if it is none."""

    async def read_mirrors(self) -> dict[int, Mirror]:
        """All of them, by account_id."""
