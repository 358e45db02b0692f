"""The generated world: its shapes, its coherence, its variety, and that it repeats."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.shapes import TICKET_SHAPE
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.world import generate_world

Record = dict[str, Any]
World = dict[str, list[Record]]

UNTIL = 1_760_000_000
DAY = 86_400
ORDER = [
    "groups",
    "organizations",
    "users",
    "ticket_fields",
    "brands",
    "ticket_forms",
    "custom_statuses",
    "sharing_agreements",
    "user_fields",
    "organization_fields",
    "group_memberships",
    "organization_memberships",
    "identities",
    "macros",
    "sla_policies",
]
OF_TICKETS = ["audits", "ticket_metrics", "ticket_metric_events", "satisfaction_ratings", "tickets"]
STATUSES = {"new", "open", "pending", "hold", "solved", "closed", "deleted"}
CHANNELS = {"api", "web", "email", "sample_ticket", "chat", "mobile", "voice", "twitter", "facebook", "sms"}

# Cyrillic, Hebrew, Arabic, Devanagari, kana, Han: first and last of their common letters
SCRIPTS = ["\u0430-\u044f", "\u05d0-\u05ea", "\u0627-\u064a", "\u0905-\u0939", "\u3042-\u3093", "\u4e00-\u9fa5"]


def collect(pairs: Iterable[tuple[str, Record]]) -> World:
    world: World = {}
    for kind, record in pairs:
        world.setdefault(kind, []).append(record)
    return world


def make_world(tickets: int, seed: int = 7, until: int = UNTIL, account: str = "acme") -> World:
    return collect(generate_world(tickets, seed=seed, until=until, account=account))


@pytest.fixture(scope="module", params=[1, 2, 3])
def thousand(request: pytest.FixtureRequest) -> World:
    """The smallest world that must hold everything, under several seeds."""
    return make_world(1000, seed=request.param)


@pytest.fixture(scope="module")
def large() -> World:
    return make_world(10_000)


def moment(text: str) -> int:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    return int(datetime.fromisoformat(text).timestamp())


def by_id(records: Iterable[Record]) -> dict[int, Record]:
    return {record["id"]: record for record in records}


def scrubbed(ticket: Record) -> bool:
    return bool(ticket["subject"] == "SCRUBBED")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def digest(tickets: int, seed: int = 7, account: str = "acme") -> str:
    pairs = generate_world(tickets, seed=seed, until=UNTIL, account=account)
    return hashlib.sha256(b"\n".join(msgspec.json.encode(pair) for pair in pairs)).hexdigest()


# --- shapes ---


def test_kinds_come_in_order() -> None:
    """Each kind of the desk stands in one run, then the tickets, each behind what happened to it."""
    pairs = list(generate_world(200, seed=1, until=UNTIL, account="acme"))
    kinds = [kind for kind, _ in groupby(kind for kind, _ in pairs)]
    assert kinds[: len(ORDER)] == ORDER
    assert set(kinds[len(ORDER) :]) == set(OF_TICKETS)
    behind: list[Record] = []
    for kind, record in pairs:
        if kind == "tickets":
            assert {one["ticket_id"] for one in behind} <= {record["id"]}
            behind = []
        elif kind in OF_TICKETS:
            behind.append(record)
    assert behind == []


def test_a_world_without_tickets_has_everything_else() -> None:
    """No tickets still means a furnished help desk."""
    assert list(make_world(0)) == ORDER


def test_keys_are_those_of_the_shapes(thousand: World) -> None:
    """Every record has all keys of its shape in wire order; only fields and metric events add some behind."""
    shapes = {**{kind: row.shape for kind, row in RESOURCES.items()}, "tickets": TICKET_SHAPE}
    for kind, records in thousand.items():
        for record in records:
            keys = list(record)
            if kind.endswith("_fields") or kind == "ticket_metric_events":
                keys = keys[: len(shapes[kind])]
            assert keys == list(shapes[kind])


def test_loading_changes_no_byte(thousand: World) -> None:
    """What the loader would store of a generated record is exactly that record."""
    for kind, records in thousand.items():
        for record in records:
            data = msgspec.json.encode(record)
            if kind == "tickets":
                draft = parse_ticket(data, account="acme", now=UNTIL)
                assert draft.body(record["generated_timestamp"]) == data
            else:
                assert parse_record(kind, data, account="acme", now=UNTIL).body == data


def test_ids_and_urls(large: World) -> None:
    """Ids are unique, exact as a double, small for tickets and long for the rest; urls carry them."""
    seen: set[int] = set()
    for kind, records in large.items():
        for record in records:
            paths = {"sla_policies": "slas/policies", "identities": f"users/{record.get('user_id')}/identities"}
            path = paths.get(kind, kind)
            assert record.get("url") in (None, f"https://acme.zendesk.com/api/v2/{path}/{record['id']}.json")
            assert 10**12 < record["id"] < 2**53 or (kind == "tickets" and 0 < record["id"] < 100_000)
            assert record["id"] not in seen
            seen.add(record["id"])


def test_encoded_ids(large: World) -> None:
    """Encoded ids have their form, differ from ticket to ticket, and are those that loading would give."""
    encoded = [ticket["encoded_id"] for ticket in large["tickets"]]
    assert all(re.fullmatch(r"[0-9A-Z]{6}-[0-9A-Z]{5}", text) for text in encoded)
    assert len(set(encoded)) == len(encoded)
    bare = {key: value for key, value in large["tickets"][0].items() if key != "encoded_id"}
    loaded = parse_ticket(msgspec.json.encode(bare), account="acme", now=UNTIL)
    assert msgspec.json.decode(loaded.body(0))["encoded_id"] == encoded[0]


def test_addresses_are_reserved_ones(large: World) -> None:
    """Addresses end in example.com, .org or .net, are unique, and leave the demo's own two free."""
    emails = [user["email"].lower() for user in large["users"] if user["email"]]
    assert len(set(emails)) == len(emails)
    assert not {"admin@example.com", "agent@example.com"} & set(emails)
    via = [ticket["via"] for ticket in large["tickets"]]
    recipients = [ticket["recipient"] for ticket in large["tickets"] if ticket["recipient"]]
    found = [text for text in strings(via) if "@" in text and " " not in text]
    assert all(re.fullmatch(r"[a-z0-9.-]+@example\.(com|org|net)", text) for text in emails + recipients + found)


def test_tickets_are_of_ordinary_size(large: World) -> None:
    """A ticket has 2.0 to 2.6 KB on average; descriptions are skewed from nothing much to a pasted log."""
    sizes = [len(msgspec.json.encode(ticket)) for ticket in large["tickets"]]
    assert 2000 < sum(sizes) / len(sizes) < 2600
    lengths = sorted(len(ticket["description"].encode()) for ticket in large["tickets"])
    assert lengths[len(lengths) // 50] < 20
    assert 100 < lengths[len(lengths) // 2] < 600
    assert 10_000 < lengths[-5] < lengths[-1] < 61_440


# --- time ---


def test_feed_order(large: World) -> None:
    """Tickets ascend by (generated_timestamp, id), and each comes once."""
    positions = [(ticket["generated_timestamp"], ticket["id"]) for ticket in large["tickets"]]
    assert positions == sorted(set(positions))
    assert len(positions) == 10_000


def test_times_follow_each_other(large: World) -> None:
    """created_at <= updated_at <= generated_timestamp <= until, and older ids were created earlier."""
    for kind, records in large.items():
        for record in records:
            times = [moment(record[key]) for key in ("created_at", "updated_at", "time") if key in record]
            assert times == sorted(times), kind
            assert times[-1] <= UNTIL, kind
    for ticket in large["tickets"]:
        assert moment(ticket["updated_at"]) <= ticket["generated_timestamp"] <= UNTIL
    by_age = sorted(large["tickets"], key=lambda ticket: ticket["id"])
    assert [t["created_at"] for t in by_age] == sorted(t["created_at"] for t in by_age)


def test_changes_fill_ninety_days(thousand: World) -> None:
    """The oldest change is about ninety days old, the newest a few hours at most."""
    changes = [ticket["generated_timestamp"] for ticket in thousand["tickets"]]
    assert UNTIL - 90 * DAY <= changes[0] < UNTIL - 89 * DAY
    assert UNTIL - 3 * 3600 < changes[-1] <= UNTIL


def test_bulk_edits_share_a_second(large: World) -> None:
    """One second holds more than fifteen tickets in a hundred, and a few others hold a good many."""
    sizes = [size for _, size in Counter(t["generated_timestamp"] for t in large["tickets"]).most_common(5)]
    assert sizes[0] >= 1500
    assert all(size >= 50 for size in sizes)


def test_requesters_were_there_before_their_tickets(large: World) -> None:
    """Nobody writes before being known, but for tickets dated 1970."""
    users = by_id(large["users"])
    for ticket in large["tickets"]:
        requester = users[ticket["requester_id"]]
        assert requester["created_at"] <= ticket["created_at"] or ticket["created_at"].startswith("1970")


# --- coherence ---


def test_every_link_leads_somewhere(large: World) -> None:
    """Whatever a record points to exists, and what tickets use is active."""
    active = {kind: by_id(r for r in large[kind] if r.get("active", True)) for kind in ORDER}
    users, tickets = by_id(large["users"]), by_id(large["tickets"])
    groups = by_id(group for group in large["groups"] if not group["deleted"])
    for ticket in large["tickets"]:
        people = {ticket["requester_id"], ticket["submitter_id"], *ticket["collaborator_ids"]}
        assert people <= users.keys()
        assert ticket["group_id"] is None or ticket["group_id"] in groups
        assert ticket["brand_id"] in active["brands"]
        assert ticket["ticket_form_id"] in active["ticket_forms"]
        assert set(ticket["sharing_agreement_ids"]) <= active["sharing_agreements"].keys()
        assert ticket["problem_id"] is None or ticket["problem_id"] in tickets
        assert set(ticket["followup_ids"]) <= tickets.keys()
    organizations = by_id(large["organizations"])
    for user in large["users"]:
        assert user["organization_id"] is None or user["organization_id"] in organizations
        assert user["default_group_id"] is None or user["default_group_id"] in groups
    for form in large["ticket_forms"]:
        assert set(form["ticket_field_ids"]) <= active["ticket_fields"].keys()


def test_who_does_what(large: World) -> None:
    """Assignees are active full agents with a group; customers ask, and bring their organization along."""
    users = by_id(large["users"])
    for ticket in large["tickets"]:
        requester = users[ticket["requester_id"]]
        assert requester["role"] == "end-user"
        assert ticket["organization_id"] == requester["organization_id"]
        assert ticket["submitter_id"] in (ticket["requester_id"], ticket["assignee_id"])
        assert ticket["is_public"] or ticket["submitter_id"] == ticket["assignee_id"]
        if ticket["status"] == "new" or ticket["support_type"] == "ai_agent":
            assert ticket["assignee_id"] is None
        elif ticket["status"] in ("solved", "closed"):
            assert ticket["assignee_id"] is not None
        if ticket["assignee_id"] is not None:
            assignee = users[ticket["assignee_id"]]
            assert assignee["role"] in ("agent", "admin")
            assert assignee["active"]
            assert assignee["role_type"] != 1
            assert ticket["group_id"] is not None


def test_copies(large: World) -> None:
    """Collaborators are the followers, who are staff, and the email CCs, who are other customers."""
    users = by_id(large["users"])
    for ticket in large["tickets"]:
        assert ticket["collaborator_ids"] == sorted(ticket["follower_ids"] + ticket["email_cc_ids"])
        assert len(set(ticket["collaborator_ids"])) == len(ticket["collaborator_ids"])
        assert all(users[id]["role"] != "end-user" for id in ticket["follower_ids"])
        assert all(users[id]["role"] == "end-user" and users[id]["email"] for id in ticket["email_cc_ids"])
        assert ticket["requester_id"] not in ticket["collaborator_ids"]
    assert any(ticket["follower_ids"] for ticket in large["tickets"])
    assert any(ticket["email_cc_ids"] for ticket in large["tickets"])


def test_custom_statuses_fit(large: World) -> None:
    """A ticket's custom status is active and of the category of its status; closed counts as solved."""
    statuses = by_id(status for status in large["custom_statuses"] if status["active"])
    for ticket in large["tickets"]:
        category = statuses[ticket["custom_status_id"]]["status_category"]
        if ticket["status"] != "deleted":
            assert category == ("solved" if ticket["status"] == "closed" else ticket["status"])


def test_custom_fields_fit(large: World) -> None:
    """One entry for each active custom field, of its type's form, the same in `fields`; choices are tags too."""
    fields = [field for field in large["ticket_fields"] if field["removable"] and field["active"]]
    options = {f["id"]: {option["value"] for option in f.get("custom_field_options", [])} for f in fields}
    users = by_id(large["users"])
    for ticket in large["tickets"]:
        assert ticket["fields"] == ticket["custom_fields"]
        assert [entry["id"] for entry in ticket["custom_fields"]] == [field["id"] for field in fields]
        for field, entry in zip(fields, ticket["custom_fields"], strict=True):
            value, tags = entry["value"], set(ticket["tags"])
            if value is None:
                continue
            match field["type"]:
                case "checkbox":
                    assert isinstance(value, bool)
                    assert (field["tag"] in tags) == value
                case "multiselect":
                    assert set(value) <= options[field["id"]] & tags
                case "tagger":
                    assert value in options[field["id"]] & tags
                case "lookup":
                    assert users[int(value)]["role"] != "end-user"
                case "regexp":
                    assert re.fullmatch(r"SN-\d{5}-[A-F]", value)
                case "date":
                    assert re.fullmatch(r"\d{4}-\d\d-\d\d", value)
                case "integer" | "decimal":
                    assert float(value) > 0
                case _:
                    assert isinstance(value, str)


def test_tags(large: World) -> None:
    """Tags are sorted, unique, lower-case words."""
    for ticket in large["tickets"]:
        assert ticket["tags"] == sorted(set(ticket["tags"]))
        assert all(tag == tag.lower() and not re.search(r"\s", tag) for tag in ticket["tags"])


def test_problems_and_incidents(large: World) -> None:
    """Only incidents point to a problem, an earlier one, and exactly those problems say so."""
    tickets = by_id(large["tickets"])
    pointed_to = set()
    for ticket in large["tickets"]:
        if ticket["problem_id"] is not None:
            assert ticket["type"] == "incident"
            assert ticket["problem_id"] < ticket["id"]
            assert tickets[ticket["problem_id"]]["type"] == "problem"
            pointed_to.add(ticket["problem_id"])
    assert pointed_to == {ticket["id"] for ticket in large["tickets"] if ticket["has_incidents"]}
    assert pointed_to


def test_follow_ups(large: World) -> None:
    """A follow-up names the closed ticket it follows, which names it back and was over before."""
    tickets = by_id(large["tickets"])
    named = {(ticket["id"], id) for ticket in large["tickets"] for id in ticket["followup_ids"]}
    naming = set()
    for ticket in large["tickets"]:
        source = ticket["via"]["source"]
        if source["rel"] == "follow_up":
            parent = tickets[source["from"]["ticket_id"]]
            assert parent["status"] == "closed"
            assert source["from"]["subject"] == parent["subject"]
            assert parent["updated_at"] <= ticket["created_at"]
            naming.add((parent["id"], ticket["id"]))
    assert named == naming
    assert named


def test_mail_comes_from_the_requester(large: World) -> None:
    """The sender of a mail is the requester, by name and address, and it went to the recipient."""
    users = by_id(large["users"])
    for ticket in large["tickets"]:
        source = ticket["via"]["source"]
        assert list(ticket["via"]) == ["channel", "source"]
        assert list(source) == ["from", "to", "rel"]
        assert (ticket["recipient"] is not None) == (ticket["via"]["channel"] == "email")
        if ticket["via"]["channel"] == "email":
            requester = users[ticket["requester_id"]]
            assert source["from"]["name"] == requester["name"]
            assert source["from"]["address"] == requester["email"]
            assert source["to"]["address"] == ticket["recipient"]


def test_permanently_deleted_tickets(thousand: World) -> None:
    """A scrubbed ticket keeps its links but no content, and was generated a month after its deletion."""
    gone = [ticket for ticket in thousand["tickets"] if scrubbed(ticket)]
    assert gone
    for ticket in gone:
        assert (ticket["status"], ticket["raw_subject"], ticket["description"]) == ("deleted", "SCRUBBED", "X")
        assert ticket["tags"] == []
        assert all(entry["value"] in (None, []) for entry in ticket["custom_fields"])
        assert ticket["satisfaction_rating"] is None
        assert 29.5 * DAY < ticket["generated_timestamp"] - moment(ticket["updated_at"]) < 30.5 * DAY


def test_soft_deleted_tickets(thousand: World) -> None:
    """A ticket in the bin keeps its content, and both its times are the moment of deletion."""
    binned = [t for t in thousand["tickets"] if t["status"] == "deleted" and not scrubbed(t)]
    assert binned
    for ticket in binned:
        assert ticket["description"] != "X"
        assert moment(ticket["updated_at"]) == ticket["generated_timestamp"]


# --- variety ---


def test_every_kind_of_ticket_occurs(thousand: World) -> None:
    """A thousand tickets show every status, type, priority, channel, support type and sort of rating."""
    tickets = thousand["tickets"]
    assert {ticket["status"] for ticket in tickets} == STATUSES
    assert {ticket["type"] for ticket in tickets} == {"problem", "incident", "question", "task", None}
    assert {ticket["priority"] for ticket in tickets} == {"urgent", "high", "normal", "low", None}
    assert {ticket["via"]["channel"] for ticket in tickets} == CHANNELS | {"native_messaging"}
    assert {ticket["support_type"] for ticket in tickets} == {"agent", "ai_agent", None}
    ratings = [ticket["satisfaction_rating"] for ticket in tickets]
    assert {rating and rating["score"] for rating in ratings} == {None, "unoffered", "offered", "good", "bad"}
    assert any(rating and rating.get("reason") for rating in ratings)
    assert any(ticket["via"]["source"]["rel"] == "follow_up" for ticket in tickets)


def test_odd_tickets_occur(thousand: World) -> None:
    """A thousand tickets show what readers of exports have stumbled over."""
    tickets = thousand["tickets"]
    text = "".join(ticket["description"] + (ticket["subject"] or "") for ticket in tickets)
    for sample in ('"', "\\", "\n", "\t", "<b>", "&amp;", "\u2028", "😤", "👩\u200d👧", "ß", "é"):
        assert sample in text, sample
    for letters in SCRIPTS:
        assert re.search(f"[{letters}]", text), letters
    assert any(ticket["raw_subject"].startswith("{{dc.") for ticket in tickets)
    assert any(ticket["subject"] != ticket["raw_subject"] for ticket in tickets)
    assert any(ticket["external_id"] for ticket in tickets)
    assert any(not ticket["is_public"] for ticket in tickets)
    assert any(ticket["sharing_agreement_ids"] for ticket in tickets)
    assert any(len(ticket["description"]) >= 10_000 for ticket in tickets)
    assert any(t["created_at"] == t["updated_at"] == "1970-01-01T00:00:00Z" for t in tickets)
    assert any(DAY * 10 < t["generated_timestamp"] - moment(t["updated_at"]) < 10**8 for t in tickets)
    due = [ticket for ticket in tickets if ticket["due_at"] is not None]
    assert due
    assert all(ticket["type"] == "task" for ticket in due)
    ids = sorted(ticket["id"] for ticket in tickets)
    assert ids[-1] > len(ids)


def test_every_kind_of_person_occurs(thousand: World) -> None:
    """Admins, agents, light agents and end users, some suspended, inactive, or without an organization."""
    users = thousand["users"]
    kinds = Counter((user["role"], user["role_type"]) for user in users)
    assert kinds["admin", 4] in (2, 3)
    assert kinds["agent", None] >= 5
    assert kinds["agent", 1] >= 2
    assert kinds["end-user", None] == 250
    customers = [user for user in users if user["role"] == "end-user"]
    assert any(user["suspended"] for user in customers)
    assert any(not user["active"] for user in customers)
    assert any(user["organization_id"] for user in customers)
    assert any(not user["organization_id"] for user in customers)
    assert any(user["email"] is None for user in customers)


def test_every_kind_of_field_occurs() -> None:
    """The system fields and a custom field of each type are there, with their options."""
    fields = make_world(0)["ticket_fields"]
    system = [field["type"] for field in fields if not field["removable"]]
    assert system == ["subject", "description", "status", "tickettype", "priority", "group", "assignee"]
    custom = [field["type"] for field in fields if field["removable"] and field["active"]]
    assert custom[:6] == ["text", "textarea", "regexp", "date", "partialcreditcard", "integer"]
    assert custom[6:] == ["decimal", "checkbox", "tagger", "multiselect", "lookup"]
    assert {field["type"] for field in fields if "custom_field_options" in field} == {"tagger", "multiselect"}
    assert any(not field["active"] for field in fields)


# --- repetition ---


@settings(max_examples=25, deadline=None)
@given(
    tickets=st.integers(0, 40),
    seed=st.integers(),
    until=st.integers(0, 4_000_000_000),
    account=st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
)
def test_any_world_can_be_made(tickets: int, seed: int, until: int, account: str) -> None:
    """Any size, seed and end of time give that many tickets, in order, inside their time, with known people."""
    world = make_world(tickets, seed=seed, until=until, account=account)
    made = world.get("tickets", [])
    assert len(made) == tickets
    positions = [(ticket["generated_timestamp"], ticket["id"]) for ticket in made]
    assert positions == sorted(set(positions))
    users = by_id(world["users"])
    for ticket in made:
        assert 0 <= ticket["generated_timestamp"] <= until
        assert moment(ticket["created_at"]) <= moment(ticket["updated_at"]) <= until
        assert ticket["requester_id"] in users


@pytest.mark.parametrize(("tickets", "until"), [(-1, UNTIL), (1, -1)])
def test_negative_numbers_are_refused(tickets: int, until: int) -> None:
    """A negative size or end of time is an error of the caller."""
    with pytest.raises(ValueError, match="negative"):
        make_world(tickets, until=until)


def test_seed_and_account_matter() -> None:
    """Another seed or another account is another world."""
    assert len({digest(60), digest(60, seed=8), digest(60, account="other")}) == 3


def test_the_same_world_in_every_process() -> None:
    """A fresh process with its own hash secret gives the same bytes."""
    code = (
        "import hashlib, msgspec; from ticketfeed.world import generate_world as g;"
        f"pairs = g(300, seed=7, until={UNTIL}, account='acme');"
        "print(hashlib.sha256(b'\\n'.join(msgspec.json.encode(pair) for pair in pairs)).hexdigest())"
    )
    for secret in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": secret, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == digest(300)


def test_the_same_world_on_every_python() -> None:
    """This world has had these bytes since it was first made; who changes it on purpose writes the new digest."""
    assert digest(300) == "1403253e923cd755f51da20331dfdbeb6fcf21363f8982e815d8fdb2e216e395"
