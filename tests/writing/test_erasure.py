"""What was deleted for good is gone: a word in every field there is, looked for in every answer and every byte."""

import asyncio
import gzip
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from tests.citus import read_shards
from tests.engines import ENGINES, own_server
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.erasure import ERASED_USER_NAME, TICKET_KINDS
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import Account, Owner
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.shapes import TICKET_SHAPE
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.protocol.ticket_input import TicketInput
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.postgres.citus import distributed_tables
from ticketfeed.storage.write_contract import WriteTransaction

NOON = 1_700_000_000
OTHER_ADDRESS = "other@address.example"
IDENTITIES_AND_MEMBERSHIPS: dict[str, dict[str, Any]] = {
    "identities": {"type": "email", "value": OTHER_ADDRESS},
    "organization_memberships": {"organization_id": 5},
}
WORD = "Zebra-Wörd-7Q"
SPELLED = StoredWords({1: WORD})
# Its rarest part, as the search index holds it.
INDEXED_WORD = "wörd".encode()
TICKET, FOLLOWUP, ADMIN = 11, 12, 70
DEEP = {"unknown": {"deep": [WORD, {"deeper": WORD}]}, WORD: WORD}
VIA = {"channel": "email", "source": {"from": {"address": WORD, "name": WORD}, "to": DEEP, "rel": WORD}, "x": DEEP}
TEXT_KEYS = ("body", "html_body", "plain_body", "subject", "formatted_from", "transcription_text", "error", "title")
DEEP_KEYS = ("data", "value", "previous_value", "attachments", "recipients", "metadata", "history", "resource", WORD)
EVENT_TYPES = (
    *("Comment", "VoiceComment", "ChatStartedEvent", "ChatEndedEvent", "Notification", "NotificationWithCcs", "Change"),
    *("Create", "External", "Push", "SatisfactionRating", "KnowledgeLinked", "TicketSharingEvent", WORD),
)
# Keys of a ticket's input that make users, who are no part of it.
PEOPLE = ("requester", "assignee_email", "collaborators", "additional_collaborators", "followers", "email_ccs")
ANY = "include=users,groups,organizations,metric_sets,dates,comment_count,incident_counts,slas,metric_events"


def filled(parse: Callable[[bytes], object], base: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A record with the word in every key, in the deepest form that the key takes, and in unknown keys."""
    record = {**base, "unknown": DEEP, WORD: WORD, "comments": [{"id": 1, "body": WORD, "author_id": 1}]}
    for key in keys:
        for value in (DEEP, [WORD, DEEP], [WORD], [{"id": 5, "value": DEEP}], WORD):
            if key in base:
                break
            try:
                parse(msgspec.json.encode({**base, key: value}))
            except BadRecord:
                continue
            record[key] = value
            break
    return record


def events() -> list[dict[str, Any]]:
    """An event of each type, with the word in every key."""
    found = []
    for number, type_ in enumerate(EVENT_TYPES, 9001):
        keys = {**dict.fromkeys(TEXT_KEYS, WORD), **dict.fromkeys(DEEP_KEYS, DEEP)}
        event = {"id": number, "type": type_, "public": True, "author_id": ADMIN, "via": VIA, **keys}
        found.append(event | ({"field_name": ("360001", "subject", WORD)[number % 3]} if type_ != "Comment" else {}))
    status = {"id": 9100, "type": "Change", "field_name": "status", "value": "solved", "previous_value": "open"}
    return [*found, status]


def records_of_ticket(kind: str) -> dict[str, Any]:
    base: dict[str, Any] = {"id": 9000, "ticket_id": TICKET, "created_at": "2023-11-01T00:00:00Z"}
    if kind == "audits":
        base |= {"events": events(), "via": VIA, "metadata": {"system": DEEP, "custom": DEEP}, "author_id": ADMIN}
    if kind == "ticket_metric_events":
        base |= {"metric": "reply_time", "instance_id": 1, "type": "apply_sla", "time": "2023-11-01T00:00:00Z"}
        base |= {"sla": {"target": 60, "policy": {"id": 5, "title": WORD}}}
    shape = RESOURCES[kind].shape
    fields = [field.name for field in msgspec.structs.fields(RESOURCES[kind].record)]
    record = filled(lambda data: parse_record(kind, data, account="acme", now=NOON), base, [*shape, *fields])
    del record["comments"]
    return record


class Office:
    """A store of one account behind the app."""

    def __init__(self, store: Store, account: Account, clock: list[int]) -> None:
        self.store, self.account, self.clock = store, account, clock
        self.app = create_app(Settings(page_cache_mib=4), store, lambda: clock[0])

    async def ask(self, method: str, path: str, value: Any = None, *headers: tuple[str, str]) -> Any:
        token = b64encode(b"admin@example.com/token:secret").decode()
        sent = [("Authorization", f"Basic {token}"), ("Content-Type", "application/json"), *headers]
        body = b"" if value is None else msgspec.json.encode(value)
        return await call_app(self.app, path, host="acme.localhost", method=method, headers=sent, body=body)

    async def put(self, kind: str, *records: dict[str, Any]) -> None:
        def work(write: WriteTransaction) -> None:
            for data in map(msgspec.json.encode, records):
                if kind == "tickets":
                    write.put_tickets([parse_ticket(data, account="acme", now=self.clock[0])])
                else:
                    write.put_records([parse_record(kind, data, account="acme", now=self.clock[0])])

        await self.store.write(self.account, work)
        self.clock[0] += 2

    async def finish_jobs(self) -> None:
        await self.app.state.service.jobs.wait()
        self.clock[0] += 2

    async def answers(self, *ids: int) -> tuple[dict[str, bytes], list[str]]:
        """The body of every address that is read, of these tickets, plain and compressed; and which had no answer."""
        found: dict[str, bytes] = {}
        failed: list[str] = []
        paths = [
            f"/api/v2{route.template.replace('{id}', str(id))}?{query}"
            for route in API_ROUTES
            if route.method == "GET"
            for id in ids
            for query in (
                f"start_time=0&{ANY}",
                f"start_time=0&ids={TICKET},{FOLLOWUP}",
                "include=comment_events&start_time=0",
            )
        ]
        paths += ["/_ticketfeed/metrics", "/_ticketfeed/feed_hash", "/api/v2/search?query=type:ticket"]
        for path in dict.fromkeys(paths):
            for coding in ("identity", "gzip") if "incremental" in path else ("identity",):
                answer = await self.ask("GET", path, None, ("Accept-Encoding", coding))
                if answer.status >= 500:  # metrics are an extra
                    failed.append(path)
                is_packed = answer.headers.get("content-encoding") == "gzip"
                found[f"{coding} {path}"] = gzip.decompress(answer.body) if is_packed else bytes(answer.body)
        await self.app.state.service.usage_tracker.flush()
        usage = await self.store.read_requests(self.account), await self.store.read_consumers(self.account)
        return {**found, "usage": msgspec.json.encode(usage)}, failed

    async def places(self) -> list[str]:
        """Where the word is stored."""
        return [place for _, place in await self.store.inspect(lambda snapshot: list(snapshot.find_words(SPELLED)))]


@asynccontextmanager
async def office(url: str) -> AsyncIterator[Office]:
    clock = [NOON]
    store = await open_store(url, lambda: clock[0])
    try:
        found = Office(store, await store.create_account("acme"), clock)
        await found.put("users", {"id": ADMIN, "email": "admin@example.com", "role": "admin", "name": "Admin"})
        await store.write(found.account, lambda write: write.add_credential(ADMIN, "api_token", hash_token("secret")))
        yield found
        await found.finish_jobs()
    finally:
        await store.close()


@pytest.fixture(params=["memory", *ENGINES])
def url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    return new_url(request.param)


@pytest.fixture(params=["memory", *ENGINES])
def own_url(request: pytest.FixtureRequest, new_url: Callable[[str], str], open_folder: Path) -> Iterator[str]:
    """As `url`; on PostgreSQL on a server of its own, whose checkpoint need not write what other tests have changed."""
    if request.param != "postgres":
        yield new_url(request.param)
        return
    with own_server(open_folder) as server:
        yield server.new_database()


# Of a shard, in hexadecimal.
SHARD_INDEX = """
SELECT encode(pg_read_binary_file(pg_relation_filepath(indexrelid)), 'hex') FROM pg_index
WHERE indrelid = '%s'::regclass AND position('search_entry_words' IN indexrelid::regclass::text) > 0
"""


def indexed_bytes(url: str) -> bytes:
    """The bytes of the file that holds the index of words."""
    if url == "memory:":
        return b""
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
        return path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
    query = "SELECT pg_read_binary_file(pg_relation_filepath('ticketfeed.search_entry_words'))"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        own = bytes(connection.execute(query).fetchall()[0][0])
        if not distributed_tables(connection):
            return own
        connection.execute("SELECT run_command_on_workers('CHECKPOINT')")
        return own + b"".join(map(bytes.fromhex, read_shards(connection, "search_entry", SHARD_INDEX)))


def holding(answers: dict[str, bytes]) -> list[str]:
    """The addresses whose answers hold the word."""
    return [path for path, body in answers.items() if any(SPELLED.find(body))]


async def fill(desk: Office) -> int:
    """Tickets with the word in every field, loaded and written over the wire; returns the id of the one created."""
    base = {"id": TICKET, "status": "open", "requester_id": ADMIN, "followup_ids": [FOLLOWUP], "via": VIA}
    base |= {"satisfaction_rating": {"id": 3, "score": "good", "comment": WORD, "reason": WORD, "x": DEEP}}
    ticket = filled(lambda data: parse_ticket(data, account="acme", now=NOON), base, TICKET_SHAPE)
    from_ = {"ticket_id": TICKET, "subject": WORD, "channel": "web"}
    via = {"channel": "web", "source": {"from": from_, "to": {}, "rel": "follow_up"}}
    await desk.put("tickets", ticket, {"id": FOLLOWUP, "via": via})
    await desk.put("audits", {"id": 5000, "ticket_id": FOLLOWUP, "created_at": "2023-11-01T00:00:00Z", "via": via})
    for kind in TICKET_KINDS:
        await desk.put(kind, records_of_ticket(kind))
    new = {"subject": WORD, "comment": {"body": WORD}, "tags": [WORD], "external_id": WORD, "recipient": WORD}
    created = await desk.ask("POST", "/api/v2/tickets", {"ticket": new}, ("Idempotency-Key", "k"))
    created_id = int(msgspec.json.decode(created.body)["ticket"]["id"])
    desk.clock[0] += 2
    for field in msgspec.structs.fields(TicketInput):
        for value in (WORD, [WORD], {"body": WORD, "html_body": WORD}, [{"id": 77, "value": WORD}]):
            if field.name in ("status", *PEOPLE):
                continue
            await desk.ask("PUT", f"/api/v2/tickets/{created_id}", {"ticket": {field.name: value}})
            desk.clock[0] += 2
    many = {"tickets": [{"id": created_id, "subject": WORD + "2"}, {"id": 10**9, "comment": {"body": WORD}}]}
    await desk.ask("PUT", "/api/v2/tickets/update_many", many)
    await desk.finish_jobs()
    return created_id


def test_tickets(own_url: str, tmp_path: Path) -> None:
    """No answer and no stored byte holds anything of a ticket that was deleted for good; its shape is kept."""

    async def scenario() -> None:
        async with office(own_url) as desk:
            created_id = await fill(desk)
            before = holding((await desk.answers(TICKET, created_id))[0])
            assert len(before) > 20
            assert await desk.places()
            assert own_url == "memory:" or INDEXED_WORD in indexed_bytes(own_url)
            for ticket_id in (TICKET, created_id):
                assert (await desk.ask("DELETE", f"/api/v2/tickets/{ticket_id}")).status == 204
            await desk.ask("GET", f"/api/v2/search?query={WORD.replace('ö', 'o')}")
            desk.clock[0] += 2
            job = await desk.ask("DELETE", f"/api/v2/deleted_tickets/destroy_many?ids={TICKET},{created_id}")
            assert job.status == 200
            await desk.finish_jobs()
            await desk.store.overwrite_erased()
            answers, failed = await desk.answers(TICKET, created_id, FOLLOWUP)
            assert failed == []  # whatever the erased records held
            assert holding(answers) == []
            assert await desk.places() == []
            for path in tmp_path.iterdir():
                assert not any(SPELLED.find(path.read_bytes())), path
                assert INDEXED_WORD not in path.read_bytes(), path
            assert INDEXED_WORD not in indexed_bytes(own_url)
            assert list(await desk.store.inspect(lambda snapshot: list(snapshot.self_check()))) == []
            again = {"subject": WORD, "comment": {"body": WORD}, "tags": [WORD], "external_id": WORD, "recipient": WORD}
            repeated = await desk.ask("POST", "/api/v2/tickets", {"ticket": again}, ("Idempotency-Key", "k"))
            assert (repeated.status, repeated.headers["x-idempotency-lookup"]) == (201, "hit")
            assert msgspec.json.decode(repeated.body)["ticket"]["id"] == created_id
            assert not any(SPELLED.find(repeated.body))
            await check_kept(desk)

    asyncio.run(scenario())


async def check_kept(desk: Office) -> None:
    """Ids, times, states and the shape of events are what they were."""
    rows = await desk.store.read_tickets(desk.account, [TICKET])
    ticket = msgspec.json.decode(rows[0].body)
    assert set(ticket) == set(TICKET_SHAPE)
    assert (ticket["status"], ticket["subject"], ticket["description"]) == ("deleted", "SCRUBBED", "X")
    assert ticket["via"] == {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}}
    assert (ticket["recipient"], ticket["external_id"], ticket["requester_id"]) == (None, None, ADMIN)
    assert (ticket["satisfaction_rating"]["score"], ticket["satisfaction_rating"]["comment"]) == ("good", None)
    audit = msgspec.json.decode((await desk.store.read_records(desk.account, "audits", [9000]))[0].body)
    assert [event["id"] for event in audit["events"]] == [event["id"] for event in events()]
    assert [event["type"] for event in audit["events"]][:13] == list(EVENT_TYPES[:13])
    assert audit["events"][-1] == {**events()[-1]}
    assert {event["body"] for event in audit["events"][:-1]} == {"X"}
    followup = msgspec.json.decode((await desk.store.read_tickets(desk.account, [FOLLOWUP]))[0].body)
    assert followup["via"]["source"]["from"] == {"ticket_id": TICKET, "subject": "SCRUBBED", "channel": "web"}


def test_users(url: str) -> None:
    """A person who was deleted for good leaves nothing but an id, in copies of name and address neither."""

    async def scenario() -> None:
        async with office(url) as desk:
            base = {"id": 80, "name": f"{WORD} Last", "email": f"{WORD}@example.com", "role": "end-user"}
            base |= {"default_group_id": None}
            fields = [field.name for field in msgspec.structs.fields(RESOURCES["users"].record)]
            shape = RESOURCES["users"].shape
            parse = parse_record
            user = filled(lambda data: parse("users", data, account="acme", now=NOON), base, [*shape, *fields])
            await desk.put("users", user)
            source = {"from": {"address": base["email"].upper(), "name": base["name"]}, "to": {}, "rel": None}
            via = {"channel": "email", "source": source}
            await desk.put("tickets", {"id": TICKET, "requester_id": 80, "via": via, "subject": f"From {base['name']}"})
            event = {"id": 9001, "type": "Comment", "body": f"Write to {base['email']}.", "author_id": 80, "via": via}
            await desk.put(
                "audits", {"id": 9000, "ticket_id": TICKET, "created_at": "2023-11-01T00:00:00Z", "events": [event]}
            )
            new = {"subject": base["name"], "comment": {"body": base["email"]}, "requester_id": 80}
            await desk.ask("POST", "/api/v2/tickets", {"ticket": new}, ("Idempotency-Key", "k"))
            twice = {"users": [{"name": "Other", "email": base["email"]}, {"name": base["name"], "email": 1}]}
            await desk.ask("POST", "/api/v2/users/create_many", twice)
            await desk.finish_jobs()
            for kind, more in IDENTITIES_AND_MEMBERSHIPS.items():
                await desk.put(kind, {"id": 500, "user_id": 80, "unknown": DEEP, WORD: WORD, **more})
                await desk.put(kind, {"id": 501, "user_id": 80, **more, "deleted": True, "unknown": DEEP})
            await desk.put("tickets", {"id": 40, "subject": f"from {OTHER_ADDRESS}"})
            assert (await desk.ask("DELETE", "/api/v2/deleted_users/80")).status == 404
            assert (await desk.ask("DELETE", "/api/v2/users/80")).status == 200
            assert (await desk.ask("DELETE", "/api/v2/deleted_users/81")).status == 404
            assert await desk.places()
            desk.clock[0] += 2
            answer = await desk.ask("DELETE", "/api/v2/deleted_users/80")
            assert answer.status == 200
            left = msgspec.json.decode(answer.body)["deleted_user"]
            assert (left["id"], left["name"], left["email"]) == (80, ERASED_USER_NAME, None)
            assert (left["active"], left["permanently_deleted"]) == (False, True)
            assert left["url"] == "https://acme.zendesk.com/api/v2/users/80.json"
            desk.clock[0] += 2
            await desk.store.overwrite_erased()
            assert holding((await desk.answers(TICKET, 80))[0]) == []
            assert await desk.places() == []
            for kind in IDENTITIES_AND_MEMBERSHIPS:
                assert await desk.store.count_records(desk.account, kind, Owner("user_id", 80)) == 0
            ticket = msgspec.json.decode((await desk.ask("GET", "/api/v2/tickets/40")).body)["ticket"]
            assert ticket["subject"] == "from X"
            assert (await desk.ask("DELETE", "/api/v2/deleted_users/80")).status == 404

    asyncio.run(scenario())


def test_expired_copies(url: str) -> None:
    """Items of jobs are erased when they are done, finished jobs and idempotency answers after two hours."""

    async def scenario() -> None:
        async with office(url) as desk:
            new = {"subject": WORD, "comment": {"body": "x"}}
            await desk.ask("POST", "/api/v2/tickets", {"ticket": new}, ("Idempotency-Key", "k"))
            failing = {"users": [{"name": "Other", "email": f"{WORD}@x.example"}] * 2}
            job = msgspec.json.decode((await desk.ask("POST", "/api/v2/users/create_many", failing)).body)["job_status"]
            await desk.finish_jobs()
            places = {place.split(",")[0] for place in await desk.places() if "job_item" in place or "jobs" in place}
            assert len(places) == 1  # the reason of a failure, and no item
            desk.clock[0] += 2 * 3600
            await desk.store.write(desk.account, lambda write: write.delete_expired())
            assert (await desk.ask("GET", f"/api/v2/job_statuses/{job['id']}")).status == 404
            assert not [place for place in await desk.places() if "job" in place or "answer" in place]

    asyncio.run(scenario())
