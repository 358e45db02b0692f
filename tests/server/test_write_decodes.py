"""How often JSON is decoded for one request that writes, counted by a profiler in every thread that takes part."""

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

import ticketfeed
from tests.server.desk import ADMIN, Desk
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.ticket_input import Comment, TicketInput
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

DECODES_MAX = 6
ANN, BOB, BEN = 10, 20, 21


class Counter:
    """Counts calls of msgspec's JSON decoders."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        is_method = isinstance(getattr(function, "__self__", None), msgspec.json.Decoder)
        self.count += function is msgspec.json.decode or (is_method and function.__name__ in ("decode", "decode_lines"))


@contextmanager
def counting(desk: Desk) -> Iterator[Counter]:
    """In this thread, in those that are started inside, and in the thread that writes, where there is one for all."""
    counter, account = Counter(), desk._account("acme")

    def profile_writes(function: Counter | None) -> None:
        asyncio.run(desk.store.write(account, lambda _: sys.setprofile(function)))

    profile_writes(counter)
    threading.setprofile(counter)
    sys.setprofile(counter)
    try:
        yield counter
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # typeshed lacks None, which ends it
        profile_writes(None)


@pytest.fixture
def desk(engine: str) -> Desk:
    if engine == "citus":
        pytest.skip("the profiler does not see threads that were there before, and the work is the same")
    desk = Desk()
    desk.put("groups", {"id": 30, "name": "Support"})
    for id, role in ((ANN, "end-user"), (BOB, "agent"), (BEN, "agent")):
        desk.put(
            "users", {"id": id, "name": str(id), "email": f"{id}@example.com", "role": role, "default_group_id": 30}
        )
    options = [{"id": 1, "name": "Red", "value": "red"}]
    desk.put("ticket_fields", {"id": 50, "type": "tagger", "custom_field_options": options})
    return desk


def decodes(desk: Desk, method: str, path: str, value: dict[str, Any], status: int) -> int:
    """Of the request alone: its body was encoded before, and its answer is decoded after."""
    body, headers = msgspec.json.encode(value), [("Authorization", ADMIN)]
    with counting(desk) as counter:
        asked = call_app(desk.app, f"/api/v2{path}", host="acme.localhost", method=method, headers=headers, body=body)
        answer = asyncio.run(asked)
    assert answer.status == status, answer
    return counter.count


def lengthen(desk: Desk, ticket_id: int, count: int) -> None:
    """Give a ticket a long history, of which nobody has answered in public yet."""

    def work(write: WriteTransaction) -> None:
        tickets = TicketWriter(write, "acme", Identity(1, "", "admin"))
        for _ in range(count):
            tickets.update(ticket_id, TicketInput(comment=Comment(body="x", public=False)))

    asyncio.run(desk.store.write(desk._account("acme"), work))


REPLY = {"body": "So.", "author_id": BOB}
CHANGES: list[dict[str, Any]] = [
    {"priority": "high"},
    {"comment": {"body": "So."}},
    {"comment": REPLY},
    {"comment": {"body": "So.", "author_id": ANN}, "status": "pending"},
    {
        "comment": REPLY,
        "subject": "S",
        "status": "solved",
        "assignee_id": BEN,
        "group_id": 30,
        "additional_tags": ["a"],
        "custom_fields": [{"id": 50, "value": "red"}],
        "due_at": "2026-01-01T00:00:00Z",
        "requester_id": BOB,
    },
    {"assignee_email": "21@example.com", "comment": {"body": "So.", "author_id": ANN}},
    {"requester": {"email": "10@example.com"}, "comment": REPLY, "status": "solved"},
]


@pytest.mark.parametrize("audits", [1, 500])
@pytest.mark.parametrize("change", CHANGES, ids=[",".join(change) for change in CHANGES])
def test_a_change(desk: Desk, change: dict[str, Any], audits: int) -> None:
    """At most six decodes, however long the history; also of the next change, behind one of the requester."""
    id = desk.send("POST", "/tickets", {"ticket": {"comment": "x", "requester_id": ANN}}, expect=201)["ticket"]["id"]
    lengthen(desk, id, audits - 1)
    assert 0 < decodes(desk, "PUT", f"/tickets/{id}", {"ticket": change}, 200) <= DECODES_MAX
    assert len(desk.send("GET", f"/tickets/{id}/audits?page[size]=100")["audits"]) == min(100, audits + 1)
    assert 0 < decodes(desk, "PUT", f"/tickets/{id}", {"ticket": {"comment": REPLY}}, 200) <= DECODES_MAX


def test_a_ticket_that_was_loaded(desk: Desk) -> None:
    """Its audits are counted once; from then on it is as any other."""
    desk.put("tickets", {"id": 7, "requester_id": ANN, "status": "open"})
    events = [{"id": 0, "type": "Create", "field_name": "status", "value": "open"}]
    for number in range(1, 501):
        desk.put("audits", {"id": number * 1000, "ticket_id": 7, "author_id": ANN, "events": events})
    assert decodes(desk, "PUT", "/tickets/7", {"ticket": {"comment": REPLY}}, 200) > 500
    assert decodes(desk, "PUT", "/tickets/7", {"ticket": {"comment": REPLY}}, 200) <= DECODES_MAX


def test_a_new_ticket(desk: Desk) -> None:
    """One decode of the body, one of the people, one of the custom fields, and one of what the search index holds."""
    desk.send("GET", "/users/me")  # who sends the request is known from then on
    ticket = {"comment": REPLY, "subject": "S", "requester_id": ANN, "assignee_id": BEN, "status": "solved"}
    assert decodes(desk, "POST", "/tickets", {"ticket": ticket}, 201) == 4


def test_counts_are_honest(desk: Desk) -> None:
    """Calls of both kinds are counted, in this thread, in a new one and in the one that writes; encoding is none.

    A decoder that C code calls, as `map` does, is not seen by a profiler; so the source hands none on.
    """
    decoder = msgspec.json.Decoder(int)
    with counting(desk) as counter:
        msgspec.json.decode(b"1")
        decoder.decode(b"2")
        thread = threading.Thread(target=decoder.decode, args=(b"3",))
        thread.start()
        thread.join()
        asyncio.run(desk.store.write(desk._account("acme"), lambda _: decoder.decode(b"4")))
        msgspec.json.encode(1)
    assert counter.count == 4
    handed_on = re.compile(r"\.decode\b(?!\()")
    rooms = ("protocol/audit*.py", "protocol/ticket*.py", "protocol/record*.py", "writing/*.py")
    sources = [path for room in rooms for path in Path(ticketfeed.__file__).parent.glob(room)]
    assert [path.name for path in sources if handed_on.search(path.read_text("utf-8"))] == []
    assert len(sources) > 10
