"""The search language: what each term means, what is refused, and which records meet a query."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.search import (
    Clause,
    Compare,
    Named,
    SearchPart,
    SearchQuery,
    Term,
    Words,
    lookup_query,
)
from ticketfeed.protocol.search_index import (
    INDEXED_KINDS,
    IndexedRow,
    SearchEntry,
    encode_term,
    index_rows,
    indexed_record,
    indexed_ticket,
    split_words,
)
from ticketfeed.protocol.search_match import search_entries
from ticketfeed.protocol.search_parser import QUERY_CHARACTERS_MAX, TERMS_MAX, parse_search
from ticketfeed.protocol.search_times import parse_search_time
from ticketfeed.protocol.tickets import parse_ticket

NOW = 1_700_000_000  # 2023-11-14T22:13:20Z
ME = 42
TYPES = ("ticket", "user", "organization", "group")
TICKET = ("ticket",)


def parse(text: str, **order: str) -> SearchQuery:
    return parse_search(text, now=NOW, me=ME, **order)


def free(*words: str, is_prefix: bool = False) -> Words:
    return Words(words, is_prefix, comments="also")


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


DAY = second("2026-01-31")


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("", TYPES),
        ("  ", TYPES),
        ("updated>2026-01-01", TYPES),
        *((f"type:{name}", (name,)) for name in TYPES),
        ("type:user type:ticket", ("ticket", "user")),
        ("status:open", TICKET),
        ("-status:open", TICKET),
        ("type:user status:open", ()),
        ("organization:3", ("ticket", "user")),
        ("tags:a organization:3 type:user", ("user",)),
        ("name:ann", ("user", "organization", "group")),
    ],
)
def test_types(text: str, types: tuple[str, ...]) -> None:
    """A search is of all types, or of those that it names; a key leaves those that have it."""
    assert parse(text).types == types


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("printer jam", [Clause((free("printer"),)), Clause((free("jam"),))]),
        ('"Printer  jam!"', [Clause((free("printer", "jam"),))]),
        ('"jam', [Clause((free("jam"),))]),
        ("PRINT*", [Clause((free("print", is_prefix=True),))]),
        ('"paper jam"*', [Clause((free("paper", "jam", is_prefix=True),))]),
        ("ann@example.com", [Clause((free("ann", "example", "com"),))]),
        ("-spam", [Clause((free("spam"),), is_negated=True)]),
        ('-"two words"', [Clause((free("two", "words"),), is_negated=True)]),
        ("!!! -", []),
        ("STRASSE straße", [Clause((free("strasse"),)), Clause((free("strasse"),))]),
        ("プリンタ", [Clause((free("プ", "リ", "ン", "タ"),))]),
        ("subject:jam", [Clause((Words(("jam",), fields=("title",)),))]),
        ('subject:"paper jam*"', [Clause((Words(("paper", "jam"), True, ("title",)),))]),
        ("description:jam", [Clause((Words(("jam",), fields=("text",)),))]),
        ("comment:jam", [Clause((Words(("jam",), fields=("text",), comments="only"),))]),
        ("comment:*", [Clause((Term("has=comment", comments="only"),))]),
        ("description:none", [Clause((Term("has=text"),), is_negated=True)]),
        ('subject:"none"', [Clause((Words(("none",), fields=("title",)),))]),
        ("notes:vip", [Clause((Words(("vip",), fields=("notes",)),))]),
        ("details:vip", [Clause((Words(("vip",), fields=("text",)),))]),
        ("status:open", [Clause((Compare("status", 1, 1),))]),
        ("status:OPEN status:new", [Clause((Compare("status", 1, 1), Compare("status", 0, 0)))]),
        ("status<solved", [Clause((Compare("status", None, 3),))]),
        ("status>=hold", [Clause((Compare("status", 3, None),))]),
        ("-status:closed", [Clause((Compare("status", 5, 5),), is_negated=True)]),
        ("priority>normal", [Clause((Compare("priority", 2, None),))]),
        ("priority<=normal", [Clause((Compare("priority", None, 1),))]),
        ("priority:none", [Clause((Compare("priority"),), is_negated=True)]),
        ("-priority:none", [Clause((Compare("priority"),))]),
        ("priority:*", [Clause((Compare("priority"),))]),
        ("ticket_type:incident", [Clause((Compare("ticket_type", 1, 1),))]),
        ("tags:vip-a tags:b", [Clause((Term("tags=vip_2d_a"), Term("tags=b")))]),
        ("-tags:a -tags:b", [Clause((Term("tags=a"),), True), Clause((Term("tags=b"),), True)]),
        ("tags:vip*", [Clause((Term("tags=vip", is_prefix=True),))]),
        ("tags:none", [Clause((Term("tags=", is_prefix=True),), is_negated=True)]),
        ("assignee:7", [Clause((Term("assignee=7"),))]),
        ("assignee:me", [Clause((Term("assignee=42"),))]),
        ("assignee:none", [Clause((Term("assignee=", is_prefix=True),), is_negated=True)]),
        ("assignee:*", [Clause((Term("assignee=", is_prefix=True),))]),
        ('requester:"Ann Smith"', [Clause((Named("requester", "users", "Ann Smith"),))]),
        ("submitter:ann@x.org", [Clause((Named("submitter", "users", "ann@x.org"),))]),
        ("cc:me", [Clause((Term("cc=42"),))]),
        ("commenter:7", [Clause((Term("commenter=7", comments="only"),))]),
        ("group:Support", [Clause((Named("group", "groups", "Support"),))]),
        ("organization:acme", [Clause((Named("organization", "organizations", "acme"),))]),
        ("brand:acme", [Clause((Named("brand", "brands", "acme"),))]),
        ("brand_id:3", [Clause((Term("brand=3"),))]),
        ("form:Default", [Clause((Named("form", "ticket_forms", "Default"),))]),
        ("ticket_form:3", [Clause((Term("form=3"),))]),
        ("via:web", [Clause((Term("via=web"),))]),
        ("external_id:A-1", [Clause((Term("external_id=a_2d_1"),))]),
        ('custom_field_360:"blue sky"', [Clause((Term("custom_field_360=blue_20_sky"),))]),
        ("custom_status_id:5", [Clause((Term("custom_status_id=5"),))]),
        ("has_attachment:true", [Clause((Term("has=attachment", comments="only"),))]),
        ("-has_attachment:true", [Clause((Term("has=attachment", comments="only"),), True)]),
        ("has_attachment:false", [Clause((Term("has=attachment", comments="only"),), True)]),
        ("role:admin", [Clause((Term("role=admin"),))]),
        ("email:a@x.org", [Clause((Term("email=a_40_x_2e_org"),))]),
        ("is_suspended:true", [Clause((Term("is_suspended=true"),))]),
        ("created:2026-01-31", [Clause((Compare("created_at", DAY, DAY + 86399),))]),
        ("created_at>2026-01-31", [Clause((Compare("created_at", DAY + 1, None),))]),
        ("updated>=2026-01-31", [Clause((Compare("updated_at", DAY, None),))]),
        ("updated<2026-01-31", [Clause((Compare("updated_at", None, DAY - 1),))]),
        ("updated<=2026-01-31", [Clause((Compare("updated_at", None, DAY),))]),
        ("solved>2026-01-31", [Clause((Compare("solved_at", DAY + 1, None),))]),
        ("due_date:none", [Clause((Compare("due_at"),), is_negated=True)]),
        ("created>4hours", [Clause((Compare("created_at", NOW - 4 * 3600 + 1, None),))]),
        (
            "created>=2026-01-31 created<2026-02-01",
            [Clause((Compare("created_at", DAY, None),)), Clause((Compare("created_at", None, DAY + 86399),))],
        ),
    ],
)
def test_clauses(text: str, clauses: list[Clause]) -> None:
    """Terms of one key are alternatives, all others must hold together; `none`, `*`, `me` and `-` as documented."""
    assert list(parse(text).clauses) == clauses


@pytest.mark.parametrize(
    ("text", "order", "descending"),
    [
        ("", None, True),
        ("order_by:created_at", "created_at", True),
        ("order_by:updated sort:asc", "updated_at", False),
        ("order_by:priority sort:desc", "priority", True),
        ("order_by:relevance", None, True),
    ],
)
def test_order(text: str, order: str | None, descending: bool) -> None:
    """The query's own order, newest first unless it says otherwise; it goes before the request's."""
    query = parse(text)
    assert (query.order, query.descending) == (order, descending)
    given_by_request = parse(text, sort_by="status", sort_order="asc")
    assert given_by_request.order == (order if "order_by" in text else "status")
    assert given_by_request.descending == (descending if "sort:" in text else False)


@pytest.mark.parametrize(
    "text",
    [
        "-type:user",
        "type:entry",
        "type>user",
        "colour:red",
        "status:deleted",
        "status:",
        "tags>a",
        "tags:",
        "assignee<5",
        "assignee:",
        "assignee:ann*",
        "brand_id:acme",
        "has_attachment:maybe",
        "is_verified:1",
        "priority:highest",
        "priority>none",
        "ticket_type<problem",
        "updated>soon",
        "updated>2026-1-1",
        "updated>2026-02-30",
        "updated:",
        "created>99999999999hours",
        "order_by:colour",
        "order_by>created_at",
        "sort:up",
        "-sort:asc",
        "custom_field_x:1",
        "subject:",
        "x" * (QUERY_CHARACTERS_MAX + 1),
        "a " * (TERMS_MAX + 1),
    ],
)
def test_refused(text: str) -> None:
    """A term that is not understood is refused by name, and so is a query that is too long."""
    with pytest.raises(InvalidValue) as caught:
        parse(text)
    assert (
        len(text) > 100
        or text.lstrip("-").split(":")[0].split(">")[0].split("<")[0] in str(caught.value)
        or (text.partition(">")[2] in str(caught.value))
    )


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-01-31", DAY, DAY + 86399),
        ("2026-01-31T12:00:00Z", DAY + 43200, DAY + 43200),
        ("2026-01-31T12:00:00", DAY + 43200, DAY + 43200),
        ("2026-01-31T12:00:00+01:00", DAY + 39600, DAY + 39600),
        ("2026-01-31T12:00:00 01:00", DAY + 39600, DAY + 39600),
        ("2026-01-31T12:00:00-0100", DAY + 46800, DAY + 46800),
        ("2026-01-31T12:00Z", DAY + 43200, DAY + 43259),
        ("30minutes", NOW - 1800, NOW - 1800),
        ("1hour", NOW - 3600, NOW - 3600),
        ("2days", NOW - 172800, NOW - 172800),
        ("1week", NOW - 604800, NOW - 604800),
        ("1month", second("2023-10-14T22:13:20"), second("2023-10-14T22:13:20")),
        ("9months", second("2023-02-14T22:13:20"), second("2023-02-14T22:13:20")),
        ("2years", second("2021-11-14T22:13:20"), second("2021-11-14T22:13:20")),
        ("999999days", 0, 0),
    ],
)
def test_times(text: str, first: int, last: int) -> None:
    """A day, a moment with its zone, or a time before now, with the calendar's months and years."""
    assert parse_search_time(text, NOW) == (first, last)


def test_months_end() -> None:
    """A month before the 31st is the last day of a shorter month."""
    assert parse_search_time("1month", second("2026-03-31T10:00:00"))[0] == second("2026-02-28T10:00:00")


@settings(max_examples=300, deadline=None)
@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ['"', "-", "*", ":", "<", ">=", "status", "tags", "é", " ", "2026-01-31", "1day", "none", "me", "\0"]
        )
    ).map("".join)
)
def test_any_text(text: str) -> None:
    """Any text is parsed or refused in the words of the wire; what was parsed can be run."""
    try:
        query = parse(text)
    except InvalidValue:
        return
    resolved = query.resolve({})
    assert resolved.named() == []
    assert search_entries([SearchEntry("tickets", 1, 1)], resolved, SearchPart(10))[0] in (0, 1)


def entry(kind: str, **values: Any) -> SearchEntry | None:
    body = json.dumps({"id": 1, **values}).encode()
    if kind == "tickets":
        row = parse_ticket(body, account="acme", now=NOW).row
        return entry_of(indexed_ticket(row.id, row.status, row.body))
    return entry_of(indexed_record(parse_record(kind, body, account="acme", now=NOW)))


def entry_of(row: IndexedRow | None) -> SearchEntry | None:
    return row and index_rows([row])[0]


COMMENT = {"type": "Comment", "body": "Hello there", "attachments": [{"id": 1}]}


@pytest.mark.parametrize(
    ("kind", "values", "query", "is_found"),
    [
        ("tickets", {"subject": "Paper jam"}, '"paper jam"', True),
        ("tickets", {"subject": "Paper jam"}, '"jam paper"', False),
        ("tickets", {"subject": "Paper", "description": "jam"}, '"paper jam"', False),
        ("tickets", {"subject": "Paper jams"}, "jam", False),
        ("tickets", {"subject": "Paper jams"}, "jam*", True),
        ("tickets", {"due_at": "2026-01-31T10:00:00Z"}, "due_date:2026-01-31", True),
        ("tickets", {"collaborator_ids": [7], "email_cc_ids": [8]}, "cc:8", True),
        ("tickets", {"custom_fields": [{"id": 5, "value": ["a b", "c"]}]}, "custom_field_5:c", True),
        ("tickets", {"custom_fields": [{"id": 5, "value": True}]}, "custom_field_5:true", True),
        ("tickets", {"custom_fields": [{"id": 5, "value": None}]}, "custom_field_5:none", True),
        ("tickets", {"via": {"channel": "web"}}, "via:web", True),
        ("tickets", {"tags": ["a_b"]}, "tags:a-b", False),
        ("users", {"email": "Ann@Example.com"}, "email:ann@example.com", True),
        ("users", {"email": "ann@example.com"}, "email:ann@*", True),
        ("users", {"phone": "+1 555"}, '"1 555"', True),
        ("organizations", {"name": "Acme", "domain_names": ["acme.org"]}, "acme.org", True),
        ("organizations", {"name": "Acme"}, "type:organization name:*", True),
        ("groups", {"name": "Support"}, "support type:group", True),
    ],
)
def test_entries(kind: str, values: dict[str, Any], query: str, is_found: bool) -> None:
    """What an entry holds of a ticket or record is found by the key that has it, in whole words."""
    made = entry(kind, **values)
    assert made is not None
    assert search_entries([made], parse(query), SearchPart(10))[0] == is_found


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("tickets", {"status": "deleted", "subject": "a"}),
        ("users", {"active": False}),
        ("audits", {"ticket_id": 3, "events": [{"type": "Change"}]}),
        ("ticket_metrics", {"ticket_id": 3, "solved_at": None}),
        ("macros", {"name": "a"}),
    ],
)
def test_without_entry(kind: str, values: dict[str, Any]) -> None:
    """Nothing that is deleted is found, and of audits only comments."""
    assert entry(kind, **values) is None


@pytest.mark.parametrize("type_", ["Comment", "VoiceComment"])
def test_comments_find_their_ticket(type_: str) -> None:
    """A ticket is found by the words, author and attachments of its comments, and by when it was solved."""
    entries = [
        entry("tickets", subject="Paper"),
        entry("audits", ticket_id=1, author_id=9, events=[{**COMMENT, "type": type_}]),
        entry("ticket_metrics", ticket_id=1, solved_at="2026-01-31T10:00:00Z"),
    ]
    found = "hello", "paper there", "comment:hello", "commenter:9", "has_attachment:true", "solved:2026-01-31"
    for query in found:
        assert search_entries(filter(None, entries), parse(query), SearchPart(10))[0] == 1, query
    for query in ("-hello type:ticket", "subject:hello", "description:hello", "commenter:8", "solved:none"):
        assert search_entries(filter(None, entries), parse(query), SearchPart(10))[0] == 0, query


def test_names() -> None:
    """A name or an email is looked up, and its ids take its place; without any the clause finds nothing."""
    query = parse("assignee:ann@x.org assignee:Bob")
    email, name = query.named()
    assert lookup_query(email).clauses == (Clause((Term(encode_term("email", "ann@x.org")),)),)
    assert lookup_query(name) == SearchQuery(("users",), (Clause((Words(("bob",), fields=("title",)),)),))
    assert query.resolve({email: [3], name: [4, 5]}).clauses == (
        Clause((Term("assignee=3"), Term("assignee=4"), Term("assignee=5"))),
    )
    assert search_entries([SearchEntry("tickets", 1, 1)], query.resolve({}), SearchPart(10)) == (0, [])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["tickets", *sorted(INDEXED_KINDS)]),
    st.dictionaries(
        st.sampled_from(
            [
                "subject",
                "name",
                "tags",
                "via",
                "events",
                "custom_fields",
                "created_at",
                "due_at",
                "external_id",
                "email",
                "domain_names",
                "solved_at",
                "author_id",
                "priority",
            ]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.just([{"type": "Comment"}]),
            lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
            max_leaves=5,
        ),
    ),
)
def test_an_entry_of_anything(kind: str, values: dict[str, Any]) -> None:
    """An entry can be made of whatever an older release has stored, and its words are as the engines take them."""
    body = json.dumps(values).encode()
    if kind == "tickets":
        made = entry_of(indexed_ticket(1, "open", body))
    else:
        draft = parse_record(kind, b'{"id":1,"ticket_id":2}', account="acme", now=NOW)
        made = entry_of(indexed_record(draft._replace(body=body, comment_count=1)))
    if made is not None:
        assert all(word.replace("_", "").isalnum() or word == "_" for word in f"{made.title} {made.text}".split())
        assert all(part.isprintable() for part in made.terms.split())


def test_rows_of_any_kind_at_once() -> None:
    """The entries of rows of several kinds are those of each alone, also where one is no record at all."""
    rows = [
        IndexedRow("tickets", 1, b'{"subject":"Paper","tags":["a"]}', status="open"),
        IndexedRow("audits", 2, b'{"events":[{"type":"Comment","body":"b"},5],"author_id":7}', 1),
        IndexedRow("ticket_metrics", 1, b'{"solved_at":null}'),
        IndexedRow("users", 3, b'{"name":"Ann","tags":{}}'),
    ]
    assert index_rows(rows) == [entry_of(row) for row in rows]


@given(st.text(st.characters(max_codepoint=0x24F) | st.sampled_from("\u00b5\u00df\u0130_ ") | st.characters()))
def test_words(text: str) -> None:
    """Texts of Latin letters are split as all others are: at what is no letter and no digit."""
    assert split_words(text[:60]) == split_words(f"{text[:60]} \u03c0")[:-1]


def test_bounds_of_an_entry() -> None:
    """Long texts, long words and repeated words stay within what PostgreSQL's tsvector holds."""
    made = entry("tickets", subject="x" * 500, description="a " * 5000, tags=[f"t{n}" for n in range(1000)])
    long = entry("tickets", subject=f"{'a ' * 40}{'y' * 70} z", description=f"{'a ' * 300}{'y' * 70}")
    assert made is not None
    assert long is not None
    assert (long.title.split()[-2:], long.text.split()[-1]) == (["y" * 64, "z"], "y" * 64)
    assert (len(made.title), made.text.split().count("a"), len(made.text.split())) == (64, 250, 1500)
    assert len(made.terms.split()) == 400
