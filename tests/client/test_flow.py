"""The walk, by playbooks: what it asks for, where it continues, when it ends, and what it refuses to believe."""

import json

import pytest

from tests.client.playbook import START, Playbook, Reaction, answer, cursor, failure, page, ticket
from ticketfeed.client.flow import Plan
from ticketfeed.client.session import NOT_A_PAGE_TRIES, Patience
from ticketfeed.client.streams import STREAMS
from ticketfeed.protocol.errors import SourceError

ONE = page([ticket(1, 100)], cursor(100, 1), True)


def test_first_call_then_cursor_until_the_end() -> None:
    """The first request has start_time, the next ones the cursor alone, until end_of_stream."""
    book = Playbook(
        page([ticket(1, 100), ticket(2, 100)], cursor(100, 2), False),
        page([ticket(3, 101)], cursor(101, 3), True),
        plan=Plan(since=50),
    ).run()
    assert book.ids == [1, 2, 3]
    first, second = book.queries()
    assert (first["start_time"], first["per_page"], first["support_type_scope"]) == ("50", "1000", "all")
    assert "start_time" not in second
    assert second["cursor"] == cursor(100, 2)
    assert [page.end_of_stream for page in book.pages] == [False, True]
    assert book.pages[-1].state == {"cursor": cursor(101, 3)}


def test_records_keep_their_bytes() -> None:
    """What a record looked like on the wire, spaces and numbers included, is what the page has."""
    record = b'{ "id":7,"generated_timestamp":5 ,"x":1.0e2,"y":"\\u00e9","big":123456789012345678901234567890}'
    body = b'{"end_of_stream":true,"after_cursor":"%s","tickets":[%s , {"id":8}]}' % (cursor(5, 7).encode(), record)
    book = Playbook(answer(200, body)).run()
    assert list(book.pages[0].records) == [record, b'{"id":8}']
    assert book.pages[0].decode()[0]["big"] == 123456789012345678901234567890


def test_empty_last_page_keeps_the_cursor() -> None:
    """An empty answer has a null cursor: the next run continues from the one that was sent."""
    state = {"cursor": cursor(9, 9)}
    book = Playbook(page([], None, True), states={"tickets": state}).run()
    assert book.pages[0].state == state
    assert Playbook(page([], None, True)).run().pages[0].state == {"start_time": 0}


def test_empty_page_before_the_end_goes_on() -> None:
    """An empty page whose cursor advances is no end."""
    book = Playbook(page([], cursor(5, 5), False), ONE).run()
    assert book.ids == [1]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (page([ticket(1, 100)], cursor(90, 1), False), "does not advance"),
        (page([], None, False), "does not advance"),
        (page([ticket(1, 80)], cursor(80, 1), False), "goes back"),
        (page([ticket(1, 100)], None, True), "no cursor to continue from"),
        (answer(200, {"tickets": [], "after_cursor": None}), "end_of_stream is missing"),
        (answer(200, b"<!DOCTYPE html><html>Maintenance</html>"), "HTML"),
        (answer(200, b'{"tickets":[{"id":1},'), "no page"),
        (answer(200, b""), "empty"),
        (answer(200, {"error": "x"}), "no array 'tickets'"),
        (answer(200, [1, 2]), "no page"),
        (answer(200, {"tickets": {"id": 1}, "after_cursor": None, "end_of_stream": True}), "no page"),
        (answer(200, {"tickets": [1], "after_cursor": cursor(99, 1), "end_of_stream": True}), "cannot be used"),
        (answer(200, b'{"tickets":[' + b"[" * 100_000), "no page"),
    ],
)
def test_no_page(bad: Reaction, word: str) -> None:
    """An answer that is no page, or leads nowhere, is asked for a few times more, then refused."""
    book = Playbook(*[bad] * NOT_A_PAGE_TRIES, states={"tickets": {"cursor": cursor(90, 1)}})
    with pytest.raises(SourceError, match=word):
        book.run()
    assert book.pages == []
    assert sum(wait.seconds for wait in book.waits) == 15
    again = Playbook(bad, ONE, states={"tickets": {"cursor": cursor(90, 1)}}).run()
    assert again.ids == [1]


@pytest.mark.parametrize("length", [2, 3, 7])
def test_circle(length: int) -> None:
    """Cursors that cannot be read, and that come again, are no way to an end."""
    pages = [page([ticket(place, 100)], f"{place % length}", False) for place in range(8 * length)]
    with pytest.raises(SourceError, match="in a circle: tickets are where they were"):
        Playbook(*pages).run()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry_after": "93"}, 93),
        ({"retry_after": " 7 "}, 7),
        ({"retry_after": "2.5"}, 2.5),
        ({"retry_after": "0"}, 1),
        ({"retry_after": "Fri, 15 Jan 2027 08:00:42 GMT"}, 42),
        ({"retry_after": "Fri, 15 Jan 2021 08:00:42 GMT"}, 1),
        ({"retry_after": "soon"}, 1),
        ({"retry_after": "-5"}, 1),
        ({"retry_after": "nan"}, 1),
        ({"retry_after": "inf"}, 1),
        ({"retry_after": "Fri, 99 Foo 2021"}, 1),
        ({}, 1),
    ],
)
def test_retry_after(header: dict[str, str], seconds: float) -> None:
    """429 is waited out as long as it says, in every form; where it says nothing that makes sense, by backoff."""
    body = {"error": "APIRateLimitExceeded", "description": "Number of allowed requests exceeded"}
    book = Playbook(answer(429, body, **header), ONE).run()
    assert book.ids == [1]
    assert [wait.seconds for wait in book.waits] == [seconds]
    assert "429 (APIRateLimitExceeded" in book.waits[0].reason


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_faults_that_pass(status: int) -> None:
    """They are waited out, longer each time, up to a minute."""
    book = Playbook(*[answer(status, b"upstream request timeout")] * 8, ONE).run()
    assert [wait.seconds for wait in book.waits] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_gives_up() -> None:
    """What does not pass ends the run when `give_up_after_seconds` would be over, not after it."""
    plan = Plan(patience=Patience(give_up_after_seconds=100))
    book = Playbook(*[failure()] * 7, plan=plan)
    with pytest.raises(SourceError, match="connection reset; gave up after 63 s"):
        book.run()
    book = Playbook(answer(503, b"", retry_after="7200"), plan=plan)
    with pytest.raises(SourceError, match=r"503; gave up after 0 s \(the next try is due in 7200 s\)"):
        book.run()
    assert book.waits == []


def test_patience_begins_anew_with_every_good_page() -> None:
    """Only trouble without a good answer in between counts."""
    plan = Plan(patience=Patience(give_up_after_seconds=10))
    trouble = [answer(429, b"", retry_after="9")]
    first = page([ticket(1, 100)], cursor(100, 1), False)
    book = Playbook(*trouble, first, *trouble, page([ticket(2, 101)], cursor(101, 2), True), plan=plan).run()
    assert book.ids == [1, 2]


@pytest.mark.parametrize("slow", [answer(504, b"upstream request timeout"), failure("timed out", timed_out=True)])
def test_smaller_pages_where_the_source_is_slow(slow: Reaction) -> None:
    """per_page is halved down to 1, and doubled again after some good pages."""
    book = Playbook(*[slow] * 11, ONE).run()
    assert [int(query["per_page"]) for query in book.queries()] == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1]
    pages = [page([ticket(n, 100 + n)], cursor(100 + n, n), False) for n in range(1, 11)]
    book = Playbook(slow, slow, *pages, page([], None, True)).run()
    assert [int(q["per_page"]) for q in book.queries()] == [1000, 500, *[250] * 5, *[500] * 5, 1000]


@pytest.mark.parametrize(
    ("reaction", "words"),
    [
        (answer(401, {"error": "Couldn't authenticate you"}), "refuses the credentials .401.: Couldn't"),
        (answer(403, {"error": {"title": "Forbidden", "message": "You do not have access"}}), "need an admin"),
        (answer(404, {"error": {"title": "No help desk at x", "message": "m"}}), "404.: No help desk at x: m"),
        (answer(400, {"error": "InvalidCursor", "description": "bad"}), "400.: InvalidCursor: bad"),
        (answer(400, {"errors": [{"code": "InvalidPaginationParameter", "title": "t"}]}), "InvalidPagination.*: t"),
        (answer(301, b"", location="https://other.example"), "redirects to https://other.example"),
        (answer(422, b"\xff<html>"), "422"),
    ],
)
def test_refusals_are_final(reaction: Reaction, words: str) -> None:
    """What cannot pass ends the run at once, with the reason that the source gave."""
    book = Playbook(reaction)
    with pytest.raises(SourceError, match=words):
        book.run()
    assert book.waits == []


@pytest.mark.parametrize(
    "refusal",
    [
        answer(
            400, {"errors": [{"code": "StartTimeTooRecent", "title": "start_time must be more than 60 seconds ago"}]}
        ),
        answer(
            422,
            {"error": "InvalidValue", "description": "Too recent start_time. Use a start_time older than 5 minutes"},
        ),
    ],
)
def test_too_recent_start_time_is_waited_for(refusal: Reaction) -> None:
    """A start_time of less than a minute ago is asked for again when it is old enough."""
    book = Playbook(refusal, ONE, plan=Plan(since=int(START) - 20)).run()
    assert [wait.seconds for wait in book.waits] == [41]


def test_requests_a_minute() -> None:
    """No more requests than the budget allows in any span of a minute."""
    pages = [page([ticket(n, 100 + n)], cursor(100 + n, n), n == 25) for n in range(1, 26)]
    plan = Plan(patience=Patience(requests_per_minute=10))
    book = Playbook(*pages, plan=plan).run()
    assert [wait.seconds for wait in book.waits] == [60, 60]
    assert "budget" in book.waits[0].reason


def test_spent_window_is_waited_out() -> None:
    """`remaining=0; resets=S` is obeyed before the source has to refuse."""
    header = {"zendesk_ratelimit_incremental_exports": "total=10; remaining=0; resets=42"}
    first = answer(200, {"tickets": [], "after_cursor": cursor(5, 5), "end_of_stream": False}, **header)
    book = Playbook(first, ONE).run()
    assert [wait.seconds for wait in book.waits] == [42]


def test_follow_polls_from_the_last_cursor() -> None:
    """At the end it waits, and asks again with the same cursor."""
    plan = Plan(follow_seconds=60)
    book = Playbook(ONE, page([], None, True), page([ticket(2, 200)], cursor(200, 2), True), plan=plan)
    with pytest.raises(AssertionError, match="one request too many"):
        book.run()
    assert [query.get("cursor") for query in book.queries()] == [None, cursor(100, 1), cursor(100, 1), cursor(200, 2)]
    assert book.ids == [1, 2]


def test_until_ends_the_walk() -> None:
    """What changed at `until` or later is left out, the walk ends there, and never goes on."""
    pages = page([ticket(1, 100), ticket(2, 149), ticket(3, 150)], cursor(150, 3), False)
    book = Playbook(pages, plan=Plan(until=150)).run()
    assert book.ids == [1, 2]
    assert [key.id for key in book.pages[0].keys] == [1, 2]
    assert book.pages[-1].end_of_stream
    assert Playbook(plan=Plan(until=150), states={"tickets": book.pages[0].state}).run().requests == []


def test_users_by_cursor() -> None:
    """Users have a cursor export of their own; their time stands in updated_at."""
    users = [{"id": 1, "updated_at": "1970-01-01T00:01:40Z"}, {"id": 2, "updated_at": "1970-01-01T00:03:20Z"}]
    book = Playbook(page(users, cursor(200, 2), True, "users"), plan=Plan(("users",), until=150)).run()
    assert book.ids == [1]
    assert book.requests[0].target.startswith("/api/v2/incremental/users/cursor.json?start_time=0&per_page=1000")


def _by_time(key: str, records: list[dict[str, object]], end_time: int | None, end: bool | None) -> Reaction:
    body: dict[str, object] = {key: records, "count": len(records), "end_time": end_time, "next_page": "x"}
    return answer(200, body if end is None else {**body, "end_of_stream": end})


def test_by_time_leaves_out_what_is_repeated() -> None:
    """The last second of a page comes again on the next: records with the same bytes are given once."""
    a, b, c = ({"id": n, "updated_at": f"t{n}"} for n in (1, 2, 3))
    plan = Plan(("organizations",))
    book = Playbook(
        _by_time("organizations", [a, b], 100, False), _by_time("organizations", [b, c], 200, True), plan=plan
    ).run()
    assert book.ids == [1, 2, 3]
    assert [query["start_time"] for query in book.queries()] == ["0", "100"]
    assert book.pages[1].repeated == 1
    changed = {"id": 3, "updated_at": "t3", "name": "new"}
    state = json.loads(json.dumps(book.pages[-1].state))
    again = _by_time("organizations", [c, changed], 200, True)
    assert Playbook(again, plan=plan, states={"organizations": state}).run().ids == [3]


def test_by_time_that_does_not_advance() -> None:
    """More than a page in one second cannot be walked by time: it is refused, and does not loop."""
    stuck = _by_time("ticket_events", [{"id": 1}], 100, False)
    plan = Plan(("ticket_events",))
    book = Playbook(*[stuck] * (1 + NOT_A_PAGE_TRIES), plan=plan)
    with pytest.raises(SourceError, match="does not advance beyond 100"):
        book.run()
    assert book.ids == [1]


def test_by_time_without_end_of_stream() -> None:
    """Metric events do not say that they end: they end when an answer brings nothing new."""
    one = _by_time("ticket_metric_events", [{"id": 1, "time": "t"}], 100, None)
    book = Playbook(one, one, plan=Plan(("ticket_metric_events",))).run()
    assert book.ids == [1]


def test_comments_out_of_ticket_events() -> None:
    """Each comment is a record of its own, its bytes untouched but for the keys that say where it belongs."""
    comment = b'{"id":5,"type":"Comment","body":"\\u00e4  x","public":true}'
    event = b'{"id":9,"ticket_id":3,"created_at":"c","timestamp":7,"child_events":[{"id":4,"event_type":"Change"},%s]}'
    body = b'{"ticket_events":[%s],"end_time":7,"end_of_stream":true}' % (event % comment)
    book = Playbook(answer(200, body), plan=Plan(("comments",))).run()
    assert list(book.pages[0].records) == [b'{"ticket_id":3,"audit_id":9,"created_at":"c",' + comment[1:]]
    assert book.queries()[0]["include"] == "comment_events"


def test_list_by_cursor() -> None:
    """A list is followed by `meta`, and begins anew with the next run."""
    body = {"groups": [{"id": 1}], "meta": {"has_more": True, "after_cursor": "abc"}, "links": {}}
    end = {"groups": [{"id": 2}], "meta": {"has_more": False, "after_cursor": "def"}, "links": {}}
    book = Playbook(answer(200, body), answer(200, end), plan=Plan(("groups",))).run()
    assert book.ids == [1, 2]
    assert book.queries() == [{"page[size]": "100"}, {"page[after]": "abc", "page[size]": "100"}]
    assert [page.state for page in book.pages] == [{"after": {"page[after]": "abc"}}, {}]
    cut_off = {"groups": book.pages[0].state}
    assert Playbook(answer(200, end), plan=Plan(("groups",)), states=cut_off).run().ids == [2]


def test_list_by_number() -> None:
    """Lists that know no cursors are followed by the number in next_page, on the same host whatever it names."""
    body = {
        "ticket_forms": [{"id": 1}],
        "next_page": "https://evil.example/api/v2/ticket_forms.json?page=2",
        "count": 2,
    }
    end = {"ticket_forms": [{"id": 2}], "next_page": None, "count": 2}
    book = Playbook(answer(200, body), answer(200, end), plan=Plan(("ticket_forms",))).run()
    assert book.ids == [1, 2]
    assert book.requests[1].target == "/api/v2/ticket_forms.json?page=2&per_page=100"


@pytest.mark.parametrize(
    "body",
    [
        {"groups": [], "meta": {"has_more": True, "after_cursor": "same"}},
        {"groups": [], "meta": {"has_more": True}},
        {"groups": [], "next_page": "https://x.example/?page=two"},
    ],
)
def test_list_that_leads_nowhere(body: dict[str, object]) -> None:
    """It is refused."""
    states = {"groups": {"after": {"page[after]": "same"}}}
    with pytest.raises(SourceError):
        Playbook(*[answer(200, body)] * NOT_A_PAGE_TRIES, plan=Plan(("groups",)), states=states).run()


def test_missing_list() -> None:
    """A list that the source does not have is skipped where all streams were meant, and refused where it was named."""
    gone = answer(404, {"error": "InvalidEndpoint", "description": "Not found"})
    book = Playbook(gone, plan=Plan(("macros",), optional=("macros",))).run()
    assert book.pages[0].skipped
    with pytest.raises(SourceError, match="/api/v2/macros"):
        Playbook(gone, plan=Plan(("macros",))).run()


def test_every_stream_has_a_way() -> None:
    """Each stream can be walked to its end over an empty account."""
    for stream in STREAMS.values():
        ends = {"cursor": {"after_cursor": None, "end_of_stream": True}, "time": {"end_time": 0, "end_of_stream": True}}
        body = {stream.key: [], **ends.get(stream.way, {"next_page": None})}
        book = Playbook(answer(200, body), plan=Plan((stream.name,))).run()
        assert book.pages[0].end_of_stream
