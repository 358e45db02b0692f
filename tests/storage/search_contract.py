"""The Store contract for searches: every engine finds what the reference finds, after writes of every sort."""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from tests.storage.contract import NOON, ManualClock, StoreCase, ticket
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.records import RecordDraft, parse_record, wire_second
from ticketfeed.protocol.search import SearchHit, SearchPart, SearchQuery
from ticketfeed.protocol.search_parser import parse_search
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction

WORDS = ("paper", "jam", "jams", "naïve", "straße", "印刷", "a1", "it's", "x" * 80, "_")
TERMS = (
    *("paper", "jam", "ja*", '"paper jam"', '"jam paper"*', "-paper", "-ja*", "naïve", "strasse", "印", '"a1 it s"'),
    *("subject:jam", "subject:*", "subject:none", "description:paper*", "comment:jam", "-comment:paper", "comment:*"),
    *("status:open", "status:new", "status<solved", "-status:closed", "priority>low", "priority:none", "priority:*"),
    *("ticket_type:task", "-ticket_type:task", "tags:a", "tags:b-c", "tags:b*", "tags:none", "-tags:a", "via:web"),
    *("assignee:1", "assignee:2", "assignee:none", "requester:1", "cc:2", "commenter:1", "-commenter:2", "group:3"),
    *("organization:3", "organization:*", "has_attachment:true", "has_attachment:false", "external_id:e1"),
    *("custom_field_9:v1", "custom_field_9:*", "custom_field_9:none", "solved>5days", "solved:none", "due_date:none"),
    *("created>6days", "created<6days", "updated>=3days", "due_date<2days", "name:jam", "email:*", "role:agent"),
    *("notes:paper", "details:jam", "type:ticket", "type:user", "type:organization", "type:group"),
    *("order_by:created_at", "order_by:status", "order_by:priority", "order_by:updated_at", "sort:asc"),
)


def random_text(chance: random.Random) -> str | None:
    return " ".join(chance.choices(WORDS, k=chance.randint(0, 5))) or None


def random_time(chance: random.Random) -> str:
    return wire_second(NOON - chance.randint(0, 9) * 86400 - chance.randint(0, 3))


def random_ticket(chance: random.Random, id_max: int) -> TicketDraft:
    values: dict[str, Any] = {
        "status": chance.choice(["new", "open", "solved", "closed", "deleted"]),
        "priority": chance.choice([None, "low", "high"]),
        "type": chance.choice([None, "task", "problem"]),
        "subject": random_text(chance),
        "description": random_text(chance),
        "tags": chance.sample(["a", "b-c", "b_c", "bx"], chance.randint(0, 2)),
        "assignee_id": chance.choice([None, 1, 2]),
        "requester_id": chance.choice([None, 1]),
        "collaborator_ids": chance.sample([1, 2], chance.randint(0, 2)),
        "organization_id": chance.choice([None, 3]),
        "group_id": chance.choice([None, 3]),
        "external_id": chance.choice([None, "e1"]),
        "custom_fields": [{"id": 9, "value": chance.choice([None, "v1", ["v1", "v2"], True, "paper jam"])}],
        "via": {"channel": chance.choice(["web", "email"])},
        "created_at": random_time(chance),
        "updated_at": random_time(chance),
        "due_at": chance.choice([None, random_time(chance)]),
    }
    return ticket(chance.randint(1, id_max), **values)


def random_record(chance: random.Random) -> RecordDraft:
    kind = chance.choice(["users", "organizations", "groups", "audits", "audits", "ticket_metrics", "macros"])
    comment = {
        "type": chance.choice(["Comment", "VoiceComment"]),
        "author_id": chance.choice([1, 2]),
        "attachments": chance.choice([[], [{}]]),
    }
    values: dict[str, Any] = {
        "id": chance.randint(1, 8),
        "name": random_text(chance) or "Ann",
        "created_at": random_time(chance),
        "updated_at": random_time(chance),
    }
    if kind in ("users", "organizations"):
        values |= {"notes": random_text(chance), "details": random_text(chance), "tags": ["a"]}
    if kind == "users":
        values |= {"email": chance.choice([None, "jam@x.org"]), "role": "agent", "active": chance.random() < 0.8}
    if kind in ("audits", "ticket_metrics"):
        values["ticket_id"] = chance.randint(1, 12)
    if kind == "audits":
        values["events"] = chance.choice([[], [{"type": "Change"}, {**comment, "body": random_text(chance)}]])
    if kind == "ticket_metrics":
        values["solved_at"] = chance.choice([None, random_time(chance)])
    return parse_record(kind, msgspec.json.encode(values), account="acme", now=NOON)


def random_work(chance: random.Random, count: int) -> Callable[[WriteTransaction], int]:
    id_max = 12 if count == 12 else 2 * count
    drafts = [random_ticket(chance, id_max) if chance.random() < 0.5 else random_record(chance) for _ in range(count)]
    return lambda write: write.load(drafts)


def random_query(chance: random.Random) -> SearchQuery:
    return parse_search(" ".join(chance.choices(TERMS, k=chance.randint(0, 4))), now=NOON, me=1)


async def found(store: Store, account: Account, text: str) -> list[int]:
    return [hit.id for hit in await store.search(account, parse_search(text, now=NOON, me=1), SearchPart(1000))]


class SearchContract(StoreCase):
    """What every Store finds."""

    def test_searches_find_what_the_reference_finds(self) -> None:
        """After each random write, random queries have the same results in the same order, and their number.

        The second write is one of several batches.
        """

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            reference = MemoryStore(clock)
            await reference.create_account("acme")
            for seed in range(12):
                work = random_work(random.Random(seed), 600 if seed == 1 else 12)
                await store.write(account, work)
                await reference.write(account, work)
                for query in [random_query(random.Random(f"{seed} {number}")) for number in range(25)]:
                    part = SearchPart(random.Random(seed).choice([1000, 5]), seed % 3)
                    assert await store.search(account, query, part) == await reference.search(account, query, part)
                    assert await store.count_results(account, query) == await reference.count_results(account, query)

        self.run(scenario)

    def test_results_after_a_result(self) -> None:
        """In ascending order of creation, what follows a result is read from there on; ties are in order of ids."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            drafts = [ticket(id, created_at=wire_second(NOON - (id % 2))) for id in range(1, 8)]
            await store.write(account, lambda write: write.put_tickets(drafts))
            query = parse_search("type:ticket order_by:created_at sort:asc", now=NOON, me=1)
            hits: list[SearchHit] = []
            while part := await store.search(account, query, SearchPart(2, after=hits[-1][1:] if hits else None)):
                hits += part
            assert [hit.id for hit in hits] == [1, 3, 5, 7, 2, 4, 6]

        self.run(scenario)

    def test_searches_stay_in_their_account(self) -> None:
        """A search finds nothing of another account, whatever ids and words they share."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.write(account, lambda write: write.put_tickets([ticket(1, subject="paper")]))
            await store.write(other, lambda write: write.put_tickets([ticket(1, subject="jam"), ticket(2)]))
            assert (await found(store, account, "paper"), await found(store, account, "jam")) == ([1], [])
            assert (await found(store, other, "paper"), await found(store, other, "type:ticket")) == ([], [1, 2])

        self.run(scenario)
