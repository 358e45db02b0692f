"""Verification of a mirror: what is planted is found and mended, and what only lags is no difference."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.desk import SOURCE, Desk
from ticketfeed.mirror.verification import Findings
from ticketfeed.mirror.verify_run import VerifyOptions, verify_mirror
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.records import parse_stored
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.person_erasure import erase_user
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter

KINDS = {
    "tickets": "tickets",
    "ticket_metrics": "ticket_metrics",
    "users": "users",
    "organizations": "organizations",
    "groups": "groups",
    "group_memberships": "group_memberships",
    "organization_memberships": "organization_memberships",
    "ticket_fields": "ticket_fields",
    "ticket_forms": "ticket_forms",
    "brands": "brands",
    "custom_statuses": "custom_statuses",
    "satisfaction_ratings": "satisfaction_ratings",
    "ticket_events": "audits",
    "ticket_metric_events": "ticket_metric_events",
}

# What is removed of a list while the mirror stands still is a difference.
LISTS, STOPPED = ("group_memberships", "organization_memberships", "custom_statuses"), 3


async def verify(desk: Desk, copy: Account, **options: Any) -> Findings:
    async def sleep(seconds: float) -> None:
        desk.clock.now += seconds
        await asyncio.sleep(0.005)  # for the mirror that runs meanwhile

    return await verify_mirror(
        desk.target,
        copy,
        SOURCE,
        None,
        VerifyOptions(per_page=100, **options),
        transport=desk.transport,
        clock=desk.clock,
        sleep=sleep,
    )


def plant(write: WriteTransaction, now: int) -> set[tuple[str, int, str]]:
    """A record that is missing, one in another state and one too many, of each stream."""
    planted = set()
    for stream, kind in KINDS.items():
        if kind == "tickets":
            bodies = {
                row.id: row.body for row in write.find_tickets_after(Position(0, -1), 1000) if row.status != "deleted"
            }
        elif kind in ("audits", "ticket_metric_events", "users", "organizations"):
            rows = write.find_records_after(kind, Position(0, -1), 10_000)
            bodies = {row.id: row.body for row in rows if not row.is_deleted}
        else:
            bodies = {id: body for id in write.list_ids(kind) for body in [write.find_records(kind, [id])[id]]}
        missing, stale, *_ = [*bodies, *bodies][len(bodies) // 2 :]
        extra = 4_000_000_000 + len(planted)
        drafts: list[Any] = []
        for id, name in ((stale, "stale"), (extra, "extra")):
            values = json.loads(bodies[stale])
            values["id"] = id
            if kind == "ticket_metrics":
                values["ticket_id"] = id
            if name == "stale" or kind not in ("audits", "ticket_metric_events"):
                values["url"] = "https://example.com/other"
            data = json.dumps(values).encode()
            if kind == "tickets":
                drafts.append(parse_ticket(data, account="copy", now=now))
            else:
                drafts.append(parse_stored(kind, data, account="copy", now=now))
            planted.add((stream, id, name))
        write.overwrite(drafts)
        if missing != stale:
            delete = (
                write.delete_tickets if kind == "tickets" else lambda ids, kind=kind: write.delete_records(kind, ids)
            )
            delete([missing])
            planted.add((stream, missing, "missing"))
    return planted


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
def test_planted_differences_are_found_and_repaired(url: str, tmp_path: Path) -> None:
    """Missing, stale and extra records of every stream are all found, and nothing else; repaired, none is left, and
    the mirror is what its source is."""

    async def main() -> None:
        desk = await Desk.make(60)
        if url == "sqlite":
            desk.target = await open_store(f"sqlite:///{tmp_path / 'mirror.db'}", desk.clock.seconds)
        desk.clock.now += 120
        await desk.run(comments=True).run()
        desk.clock.now += 120
        copy = await desk.copy()
        assert (await verify(desk, copy)).differences == []
        planted = await desk.target.write(copy, lambda write: plant(write, desk.clock.seconds()), mirror=True)
        found = await verify(desk, copy, repairs=True)
        assert {(each.name, each.id) for each in found.differences} == {(name, id) for name, id, _ in planted}
        for each in found.differences:
            name, id, here, there = each.line().split("\t")
            kind = next(kind for stream, number, kind in planted if (stream, number) == (name, int(id)))
            assert (here == "missing", there == "missing") == (kind == "missing", kind == "extra")
            assert here != there
        assert found.repaired == len(found.differences)
        mirror = await desk.target.read_mirror(copy)
        assert mirror is not None
        assert (mirror.status.differences, mirror.status.verified_at) == (0, desk.clock.seconds())
        assert (await verify(desk, copy)).differences == []
        await desk.target.close()

    asyncio.run(main())


def test_changes_are_no_differences() -> None:
    """While people write and agents answer, tickets and people are deleted, some for good, and the mirror runs or
    stands still, neither its own verification nor the command reports anything."""

    async def main() -> None:
        desk = await Desk.make(60)
        desk.clock.now += 120
        await desk.run(comments=True).run()
        copy = await desk.copy()
        run = desk.run(follow=True, comments=True, requests_per_minute=None)
        running = asyncio.create_task(run.run())
        compared = 0
        for turn in range(4):
            await desk.change(20)
            await disturb(desk, turn)
            await asyncio.sleep(0.05)
            assert not running.done() or running.result() is None
            findings = await verify(desk, copy, whole=turn % 2 == 1)
            is_list = LISTS if turn >= STOPPED else ()
            assert [each.line() for each in findings.differences if each.name not in is_list] == []
            compared += findings.compared
            mirror = await desk.target.read_mirror(copy)
            assert mirror is not None
            assert turn >= STOPPED or not mirror.status.differences
            if turn == STOPPED - 1:
                run.stop()
                await running
        assert compared > 500
        assert desk.notes == []
        assert run._verification is not None
        assert run._verification.verified_at

    asyncio.run(main())


async def disturb(desk: Desk, turn: int) -> None:
    """Delete a ticket, one for good, and a person; change and remove what is only listed."""

    def work(write: WriteTransaction) -> None:
        admin = Identity(1, "", "admin")
        tickets = TicketWriter(write, "demo", admin)
        rows = write.find_tickets_after(Position(0, -1), 10**6)
        present = [row.id for row in rows if row.status in ("new", "open", "pending")]
        gone = [row.id for row in rows if row.status == "deleted"]
        tickets.delete(present[0])
        tickets.delete(present[-1])
        with contextlib.suppress(RecordNotFound):
            tickets.scrub(gone[turn % len(gone)])
        people = [
            row.id for row in write.find_records_after("users", Position(0, -1), 10**6) if b"end-user" in row.body
        ]
        RecordWriter(write, "demo", admin, "users").delete(people[turn])
        if turn % 2:
            erase_user(write, "demo", admin, people[turn])
        for kind in LISTS if turn < STOPPED else ():
            last = max(json.loads(body)["id"] for body in write.find_all(kind))
            RecordWriter(write, "demo", admin, kind).delete(last)

    await desk.source.write(desk.account, work)
