"""`mirror verify`: one verification from its beginning to its end, and the repair of what it finds."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from ticketfeed.mirror.comparison import Difference
from ticketfeed.mirror.lease import is_alive
from ticketfeed.mirror.schedule import MirrorStream
from ticketfeed.mirror.verify import Look, Verifier, Window
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.mirrors import put_copies

__all__ = ["LOOK_AGAIN_SECONDS", "Findings", "Verification", "repair", "store_findings"]

# Where the source cannot hold anything back, it is looked at again this soon.
LOOK_AGAIN_SECONDS = 5.0
# The newest records of a stream, so many pages at most, and so many samples of the others.
OVERLAP_PAGES, SAMPLES = 5, 5
# A running mirror reads a list again in this time once it is due.
LIST_SECONDS = 600.0
_COUNTED = ("tickets", "users", "organizations")


@dataclass(slots=True)
class Findings:
    """`compared`: records. `counts`: here and at the source, by kind. `not_copied`: streams left out, as the first copy
    is not done. `undecided`: lists that differ, and that the mirror has not come to read again. `repaired`: how many of
    the differences were mended."""

    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    not_copied: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    repaired: int = 0


@dataclass
class Verification:
    """`whole`: the exports from their beginning instead of their newest part and samples. `lag_seconds`: for
    how long the source may hold changes back."""

    store: Store
    account: Account
    verifier: Verifier
    streams: Sequence[MirrorStream]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    lag_seconds: float
    whole: bool = False
    per_page: int = 1000

    async def run(self) -> Findings:
        """Raises SourceError, TooFarBehind."""
        mirror = await self.verifier.mirror()
        findings = Findings()
        streams = [stream for stream in self.streams if mirror.stream(stream.name).is_copied]
        findings.not_copied = [stream.name for stream in self.streams if stream not in streams]
        looks: list[Look] = []
        for stream in streams:
            if not stream.is_list:
                looks += await self._look_through(stream, mirror)
        lists = [await self.verifier.look(Window(stream, {})) for stream in streams if stream.is_list]
        findings.compared = sum(look.count for look in (*looks, *lists))
        if "tickets" not in findings.not_copied:
            looks.append(await self.verifier.look_at_bare_metric_sets(streams[0]))
        found = await self._confirm(looks, streams) + await self._confirm_lists(lists, findings)
        by_key = {each.key: each for each in sorted(found, key=lambda each: each.there is not None)}
        for id in [id for kind, id in by_key if kind == "tickets"]:
            if (metric_set := by_key.get(("ticket_metrics", id))) and metric_set.there is None:
                del by_key["ticket_metrics", id]  # it is without its ticket because that is missing
        findings.differences = [by_key[key] for key in sorted(by_key)]
        for kind in _COUNTED:
            if kind not in findings.not_copied:
                findings.counts[kind] = await self.verifier.held.count(kind), await self.verifier.count(kind)
        return findings

    async def _look_through(self, stream: MirrorStream, mirror: Mirror) -> list[Look]:
        records = OVERLAP_PAGES * self.per_page
        passed = mirror.stream(stream.name).passed
        start = 0 if self.whole else await self.verifier.held.find_start(stream.name, passed, records)
        looks: list[Look] = []
        place: Window | None = Window(stream, {"start_time": start})
        while place is not None:
            looks.append(await self.verifier.look(place))
            place = looks[-1].following
        for _ in range(SAMPLES if start else 0):
            looks.append(await self.verifier.sample(stream))
        elsewhere = {id: second for look in looks for id, second in look.elsewhere.items()}
        while elsewhere:
            first = min(elsewhere.values())
            looks.append(look := await self.verifier.look(Window(stream, {"start_time": first}, expected=elsewhere)))
            elsewhere = {id: second for id, second in elsewhere.items() if second > max(first, look.passed)}
        return looks

    async def _confirm(self, looks: Iterable[Look], streams: Sequence[MirrorStream]) -> list[Difference]:
        """What differs again once the source has had the time to give all that it gave when it was looked at."""
        looks = [look for look in looks if look.differences]
        if not looks:
            return []
        needs_lag = any(each.needs_lag for look in looks for each in look.differences.values())
        seconds = self.lag_seconds if needs_lag else min(LOOK_AGAIN_SECONDS, self.lag_seconds)
        await self._wait(max(look.at for look in looks) + seconds)
        found = [each for look in looks for each in await self.verifier.look_again(look)]
        return await self.verifier.settled(found, streams)

    async def _confirm_lists(self, looks: Iterable[Look], findings: Findings) -> list[Difference]:
        """As lists do not tell when something was removed, a mirror that runs is let read them first."""
        looks = [look for look in looks if look.differences]
        if not looks:
            return []
        newest = max(look.at for look in looks)
        await self._wait(newest + min(LOOK_AGAIN_SECONDS, self.lag_seconds))
        names = [look.stream.name for look in looks]
        await self.store.write(self.account, lambda write: _make_due(write, names), mirror=True)
        while (unread := await self._find_unread(names, newest)) and self.clock() < newest + LIST_SECONDS:
            await self.sleep(LOOK_AGAIN_SECONDS)
        findings.undecided = sorted(unread)
        looks = [look for look in looks if look.stream.name not in unread]
        return [each for look in looks for each in await self.verifier.look_again(look)]

    async def _find_unread(self, names: Sequence[str], since: float) -> set[str]:
        """The lists that a running mirror has not read since."""
        mirror = await self.verifier.mirror()
        if mirror.lease is None or not is_alive(mirror.lease, self.clock()):
            return set()
        return {name for name in names if (mirror.stream(name).ended_at or 0.0) <= since}

    async def _wait(self, until: float) -> None:
        if (seconds := until - self.clock()) > 0:
            await self.sleep(seconds)


def _make_due(transaction: WriteTransaction, names: Iterable[str]) -> None:
    mirror = transaction.mirror
    assert mirror is not None
    for name in names:
        mirror = mirror.with_stream(name, msgspec.structs.replace(mirror.stream(name), asked_at=0.0))
    transaction.put_mirror(mirror)


async def repair(store: Store, account: Account, differences: Sequence[Difference]) -> int:
    """Make what differs here as it is at the source, in one write; returns how many were mended. What has changed here
    meanwhile is left alone: the walk was there."""

    def work(transaction: WriteTransaction) -> int:
        same = [each for each in differences if _find(transaction, each) == (each.here and each.here.body)]
        drafts = [each.there for each in same if each.there is not None]
        put_copies(transaction, account.subdomain, drafts)  # which erases what they show as deleted for good
        transaction.overwrite(drafts)
        gone: dict[str, list[int]] = {}
        for each in same:
            if each.there is None:
                gone.setdefault(each.kind, []).append(each.id)
        if tickets := gone.pop("tickets", None):
            transaction.delete_records("ticket_metrics", tickets)
            transaction.delete_tickets(tickets)
        for kind, ids in gone.items():
            transaction.delete_records(kind, ids)
        return len(same)

    return await store.write(account, work, exclusive=True, mirror=True)


def _find(transaction: WriteTransaction, difference: Difference) -> bytes | None:
    ids = [difference.id]
    found = (
        transaction.find_tickets(ids)
        if difference.kind == "tickets"
        else transaction.find_records(difference.kind, ids)
    )
    return found.get(difference.id)


async def store_findings(store: Store, account: Account, count: int, now: float) -> None:
    """Let the status say when the mirror was verified, and how many differences there are."""

    def work(transaction: WriteTransaction) -> None:
        if mirror := transaction.mirror:
            status = msgspec.structs.replace(mirror.status, verified_at=int(now), differences=count)
            transaction.put_mirror(msgspec.structs.replace(mirror, status=status))

    await store.write(account, work, mirror=True)
