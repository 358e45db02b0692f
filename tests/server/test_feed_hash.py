"""Counts and hashes of an account's tickets, against those computed from the tickets themselves."""

import json
from typing import Any

import pytest

from tests.server.desk import ALL, NOON, Desk, basic
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.feed_hash import FeedHash
from ticketfeed.protocol.model import Position
from ticketfeed.settings import Settings

PATH = "/_ticketfeed/feed_hash"


@pytest.fixture
def desk() -> Desk:
    """2,500 tickets: more than two reads."""
    desk = Desk(Settings())
    desk.put(
        "tickets",
        *({"id": id, "generated_timestamp": 1000 + id // 100, "subject": f"number {id}"} for id in range(1, 2501)),
        {"id": 9000, "generated_timestamp": 2000, "status": "deleted"},
        {"id": 9001, "generated_timestamp": 2001, "support_type": "ai_agent"},
    )
    return desk


def rows(desk: Desk) -> list[tuple[int, int, bytes]]:
    """(id, second, bytes) of all tickets, as the export gives them."""
    found, cursor, ended = [], "start_time=0", False
    while not ended:
        body = desk.ask(f"{ALL.partition('?')[0]}?{cursor}&support_type_scope=all&per_page=1000").body
        page = json.loads(body)
        parts = body.removeprefix(b'{"tickets":[').partition(b'],"after_url"')[0].split(b',{"url"')
        records = [parts[0], *(b'{"url"' + part for part in parts[1:])]
        found += [
            (each["id"], each["generated_timestamp"], record)
            for each, record in zip(page["tickets"], records, strict=True)
        ]
        cursor, ended = f"cursor={page['after_cursor']}", page["end_of_stream"]
    return found


def expected(rows: list[tuple[int, int, bytes]]) -> dict[str, Any]:
    whole, positions = FeedHash(), FeedHash()
    for id, second, body in rows:
        whole.add(id, second, body)
        positions.add(id, second)
    return {"count": whole.count, "hash": whole.text(), "positions_hash": positions.text()}


def told(bucket: dict[str, Any]) -> dict[str, Any]:
    return {name: bucket[name] for name in ("count", "hash", "positions_hash")}


def test_whole_feed(desk: Desk) -> None:
    """Without parameters: every ticket of every kind, once."""
    answer = desk.page(PATH)
    assert (answer["account"], answer["count"], answer["lowest_id"], answer["highest_id"]) == ("acme", 2502, 1, 9001)
    assert [told(bucket) for bucket in answer["buckets"]] == [expected(rows(desk))]


def test_up_to_a_position(desk: Desk) -> None:
    """`after` is exclusive, `until` inclusive, to the very ticket; `since` is a start_time."""
    until, after = encode_cursor(Position(1012, 1230)), encode_cursor(Position(1001, 150))
    part = [row for row in rows(desk) if (1001, 150) < (row[1], row[0]) <= (1012, 1230)]
    assert told(desk.page(f"{PATH}?until={until}&after={after}")["buckets"][0]) == expected(part)
    late = [row for row in rows(desk) if row[1] >= 1020]
    assert told(desk.page(f"{PATH}?since=1020")["buckets"][0]) == expected(late)


def test_buckets_of_ids(desk: Desk) -> None:
    """Buckets cover the range of ids without a gap, each with its own hash; empty ones are left out."""
    answer = desk.page(f"{PATH}?id_from=100&id_to=1131&buckets=7")
    ends = [(bucket["id_from"], bucket["id_to"]) for bucket in answer["buckets"]]
    assert [ends[0][0], *(end for _, end in ends)] == [*(start for start, _ in ends), 1131]
    for bucket in answer["buckets"]:
        part = [row for row in rows(desk) if bucket["id_from"] <= row[0] < bucket["id_to"]]
        assert told(bucket) == expected(part)
    assert len(desk.page(f"{PATH}?id_from=0&id_to=100000&buckets=1000")["buckets"]) == 27


def test_ids(desk: Desk) -> None:
    """`ids=true` names the tickets of a range with their seconds; deleted ones can be left out."""
    answer = desk.page(f"{PATH}?id_from=2499&id_to=9001&ids=true")
    assert answer["ids"] == [[2499, 1024], [2500, 1025], [9000, 2000]]
    assert desk.page(f"{PATH}?id_from=2501&id_to=9001&ids=true&exclude_deleted=true")["count"] == 0


@pytest.mark.parametrize(
    "query",
    ["until=x", "after=x", "since=x", "id_from=-1", "id_from=5&id_to=5", "buckets=0", "buckets=1025", "buckets=x"],
)
def test_bad_parameters(desk: Desk, query: str) -> None:
    """They are 400."""
    assert desk.ask(f"{PATH}?{query}").status == 400


def test_admins_only(desk: Desk) -> None:
    """Without credentials 401, for an agent 403."""
    assert desk.ask(PATH, authorization=None).status == 401
    desk.put("users", {"id": 50, "email": "agent@example.com", "role": "agent"})
    desk.grant(50, "agent-token")
    assert desk.ask(PATH, authorization=basic("agent@example.com/token:agent-token")).status == 403


def test_newest_second_is_closed_first(desk: Desk) -> None:
    """A change whose second is over is counted, as a reader of the export would be given it."""
    desk.put("tickets", {"id": 1, "subject": "changed"})
    desk.now = NOON + 2
    assert told(desk.page(PATH)["buckets"][0]) == expected(rows(desk))
