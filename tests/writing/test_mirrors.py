"""A mirror erases what its source has deleted for good: from its records, and from the files of its store."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.erasure import erased_record, erased_ticket
from ticketfeed.protocol.mirrors import Mirror, StreamState
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.mirrors import put_copies
from ticketfeed.writing.person_erasure import erase_user
from ticketfeed.writing.tickets import TicketWriter

NOON, LATER = 1_700_000_000, 4_000_000_000
WORDS = StoredWords({1: "Zebrawoman Quux", 2: "zebra@quux.example"})
MESSAGE = "call Zebrawoman Quux, zebra@quux.example"
USER = {"id": 5, "name": "Zebrawoman Quux", "email": "zebra@quux.example", "updated_at": "2023-01-01T00:00:00Z"}
TICKET: dict[str, Any] = {"id": 1, "subject": MESSAGE, "generated_timestamp": 100, "followup_ids": [2]}
FOLLOWUP = {
    "id": 2,
    "generated_timestamp": 101,
    "via": {"channel": "web", "source": {"from": {"ticket_id": 1, "subject": MESSAGE}, "to": {}, "rel": "follow_up"}},
}
AUDIT = {"id": 9, "ticket_id": 1, "events": [{"id": 10, "type": "Comment", "body": MESSAGE, "public": True}]}
OTHER = {"id": 3, "subject": "stays", "generated_timestamp": 102, "description": "Zebrawoman"}


def ticket(values: dict[str, Any]) -> TicketDraft:
    return parse_ticket(msgspec.json.encode(values), account="acme", now=NOON)


def record(kind: str, values: dict[str, Any]) -> RecordDraft:
    return parse_record(kind, msgspec.json.encode(values), account="acme", now=NOON)


def erased_user(second: int) -> RecordDraft:
    draft = parse_record("users", erased_record("users", record("users", USER).body), account="acme", now=NOON)
    return draft._replace(generated_timestamp=second)


def scrubbed_ticket() -> TicketDraft:
    return ticket({**erased_ticket({**TICKET, "status": "deleted"}), "generated_timestamp": 200})


async def copy(store: Store, account: Account, passed: int, *drafts: TicketDraft | RecordDraft) -> int:
    streams = dict.fromkeys(("tickets", "users", "ticket_events"), StreamState(passed=passed, has_ended=True))

    def work(write: WriteTransaction) -> int:
        write.put_mirror(Mirror("https://source.example", streams=streams))
        return put_copies(write, "acme", drafts)

    return await store.write(account, work, mirror=True)


def test_what_the_source_has_deleted_for_good(url: str) -> None:
    """No word of a scrubbed ticket, or of an erased person, is left anywhere; what others wrote is, and is served."""

    async def main() -> None:
        store = await open_store(url)
        try:
            account = await store.create_account("acme")
            page = [ticket(TICKET), ticket(FOLLOWUP), ticket(OTHER), record("users", USER), record("audits", AUDIT)]
            metric_set = {"id": 1, "ticket_id": 1, "note": MESSAGE}
            await copy(store, account, NOON, *page, record("ticket_metrics", metric_set))
            assert await found(store) == {1, 2}
            erasures = await store.count_erasures()
            assert await copy(store, account, NOON, scrubbed_ticket(), erased_user(NOON + 1)) == 2
            assert await store.count_erasures() > erasures
            await store.overwrite_erased()
            assert await found(store) == set()
            bodies = {row.id: row.body for row in await store.read_tickets(account, [1, 2, 3])}
            assert [b"SCRUBBED" in bodies[id] for id in (1, 2, 3)] == [True, True, False]
            (user,) = await store.read_records(account, "users", [5])
            assert b'"permanently_deleted":true' in user.body
            erasures = await store.count_erasures()
            assert await copy(store, account, NOON, scrubbed_ticket(), erased_user(NOON + 1)) == 0
            assert await store.count_erasures() == erasures
        finally:
            await store.close()

    asyncio.run(main())


async def found(store: Store) -> set[int]:
    return await store.inspect(lambda snapshot: {number for number, _ in snapshot.find_words(WORDS)})


def test_the_source_is_an_account_of_ours(tmp_path: Path) -> None:
    """What our own erasure leaves at the source, page by page, is what the mirror has in the end."""

    async def main() -> None:
        store = await open_store(f"sqlite:///{tmp_path / 't.db'}")
        try:
            source, mirror = await store.create_account("source"), await store.create_account("mirror")
            actor = Identity(SYSTEM_ID, "", "admin")

            def fill(write: WriteTransaction) -> None:
                user = record("users", {**USER, "active": False})
                write.put_records([user, record("users", {"id": 6, "name": "Other"}), record("audits", AUDIT)])
                drafts = [ticket(TICKET), ticket(FOLLOWUP), ticket({**OTHER, "description": MESSAGE})]
                write.put_tickets(drafts, keep_generated_timestamp=True)

            await store.write(source, fill)
            await _mirror_all(store, source, mirror)
            await store.write(source, lambda write: TicketWriter(write, "acme", actor).delete(1))
            await store.write(source, lambda write: TicketWriter(write, "acme", actor).scrub(1))
            await store.write(source, lambda write: erase_user(write, "acme", actor, 5))
            await _mirror_all(store, source, mirror)
            await store.overwrite_erased()
            assert await found(store) == set()
            for kind in ("users", "audits"):
                ids = range(20)
                theirs = [row.body for row in await store.read_records(source, kind, ids)]
                assert [row.body for row in await store.read_records(mirror, kind, ids)] == theirs
            here, there = [await store.read_tickets(each, [1, 2, 3]) for each in (mirror, source)]
            assert [_timeless(row.body) for row in here] == [_timeless(row.body) for row in there]
        finally:
            await store.close()

    asyncio.run(main())


async def _mirror_all(store: Store, source: Account, mirror: Account) -> None:
    bodies = {kind: await store.read_records(source, kind, range(20)) for kind in ("users", "audits")}
    tickets = [parse_ticket(row.body, account="acme", now=LATER) for row in await store.read_tickets(source, [1, 2, 3])]
    records = [parse_record(kind, row.body, account="acme", now=LATER) for kind in bodies for row in bodies[kind]]
    for page in (records[:1], tickets, records[1:]):
        await copy(store, mirror, NOON, *page)


def _timeless(body: bytes) -> dict[str, Any]:
    return {**msgspec.json.decode(body), "generated_timestamp": 0}
