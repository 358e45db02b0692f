"""Every stream of Airbyte's source and of tap-zendesk, read at its own address, fits the schema that the package has.

The world is once a generated one, and once written through the API.
"""

import asyncio
import functools
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.connectors.schemas import failures, load_schemas, with_custom_fields
from tests.connectors.venvs import connector_bin, site_packages
from tests.connectors.written_world import write_world
from tests.server.desk import ADMIN, NOON, Desk
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.world import generate_world

PAGES_MAX = 100


class Stream(NamedTuple):
    """Where a connector reads a stream.

    `path`: below /api/v2. `key`: that of its records. `cursor`: the key by which it goes on, or would sort.
    `schema`: its name where it is not that of the stream.
    """

    path: str
    key: str
    cursor: str = "updated_at"
    schema: str = ""


AIRBYTE_STREAMS = {
    "account_attributes": Stream("routing/attributes?per_page=100", "attributes"),
    "attribute_definitions": Stream("routing/attributes/definitions?per_page=100", "definitions"),
    "brands": Stream("brands?page[size]=100", "brands"),
    "custom_roles": Stream("custom_roles", "custom_roles"),
    "schedules": Stream("business_hours/schedules.json?page[size]=100", "schedules"),
    "sla_policies": Stream("slas/policies.json", "sla_policies"),
    "tags": Stream("tags?page[size]=100", "tags", "name"),
    "ticket_fields": Stream("ticket_fields?page[size]=100", "ticket_fields"),
    "ticket_forms": Stream("ticket_forms", "ticket_forms"),
    "topics": Stream("community/topics?page[size]=100", "topics"),
    "user_fields": Stream("user_fields?per_page=100", "user_fields"),
    "automations": Stream("automations?page[size]=100", "automations"),
    "categories": Stream("help_center/categories?page[size]=100", "categories"),
    "sections": Stream("help_center/sections?page[size]=100", "sections"),
    "articles": Stream("help_center/incremental/articles?start_time=0", "articles"),
    "groups": Stream("groups?per_page=100", "groups"),
    "group_memberships": Stream("group_memberships?page[size]=100", "group_memberships"),
    "macros": Stream("macros?sort_by=created_at&sort_order=asc&page[size]=100", "macros"),
    "organization_fields": Stream("organization_fields?per_page=100", "organization_fields"),
    "organization_memberships": Stream("organization_memberships?page[size]=100", "organization_memberships"),
    "organizations": Stream("incremental/organizations?start_time=0&per_page=100", "organizations"),
    "satisfaction_ratings": Stream(
        "satisfaction_ratings?sort=created_at&start_time=0&page[size]=100", "satisfaction_ratings"
    ),
    "ticket_activities": Stream("activities?sort=created_at&page[size]=100", "activities"),
    "ticket_audits": Stream("ticket_audits?sort_by=created_at&sort_order=desc&limit=200", "audits", "created_at"),
    "ticket_comments": Stream(
        "incremental/ticket_events.json?include=comment_events&start_time=0&per_page=100", "ticket_events", "created_at"
    ),
    "ticket_metric_events": Stream(
        "incremental/ticket_metric_events?start_time=0&page[size]=100", "ticket_metric_events", "time"
    ),
    "ticket_skips": Stream("skips.json?sort_order=desc&page[size]=100", "skips"),
    "tickets": Stream("incremental/tickets/cursor.json?start_time=0", "tickets", "generated_timestamp"),
    "deleted_tickets": Stream("deleted_tickets?page[size]=100", "deleted_tickets", "deleted_at"),
    "ticket_metrics": Stream("ticket_metrics?page[size]=100", "ticket_metrics"),
    "ticket_metrics of a ticket": Stream("tickets/{id}/metrics", "ticket_metric", schema="ticket_metrics"),
    "triggers": Stream("triggers?per_page=100", "triggers"),
    "users": Stream("incremental/users/cursor.json?start_time=0", "users"),
    "user_identities": Stream("incremental/users/cursor.json?include=identities&start_time=0", "identities"),
}
TAP_STREAMS = {
    "tickets": Stream(
        "incremental/tickets/cursor.json?include=metric_sets&start_time=0", "tickets", "generated_timestamp"
    ),
    "groups": Stream("groups?page[size]=100", "groups"),
    "users": Stream("incremental/users/cursor.json?start_time=0", "users"),
    "organizations": Stream("incremental/organizations.json?start_time=0", "organizations"),
    "ticket_audits": Stream("tickets/{id}/audits.json?page[size]=100", "audits", "created_at"),
    "ticket_comments": Stream("tickets/{id}/audits.json?page[size]=100", "audits", "created_at"),
    "ticket_fields": Stream("ticket_fields?page[size]=100", "ticket_fields"),
    "ticket_forms": Stream("ticket_forms.json", "ticket_forms"),
    "group_memberships": Stream("group_memberships?page[size]=100", "group_memberships"),
    "macros": Stream("macros?page[size]=100", "macros"),
    "satisfaction_ratings": Stream("satisfaction_ratings?start_time=0&page[size]=100", "satisfaction_ratings"),
    "tags": Stream("tags?page[size]=100", "tags", "name"),
    "ticket_metrics": Stream("incremental/tickets/cursor.json?include=metric_sets&start_time=0", "metric_sets"),
    "ticket_metric_events": Stream(
        "incremental/ticket_metric_events.json?start_time=0", "ticket_metric_events", "time"
    ),
    "sla_policies": Stream("slas/policies.json", "sla_policies"),
}
# Schemas without records: what they describe is no part of a store, and a read is refused or has nothing under it.
NO_RECORDS = {
    "airbyte": {"article_attachments", "article_comments", "audit_logs", "post_comments", "posts", "votes"},
    "tap-zendesk": {"talk_phone_numbers"},
}
# Streams that are empty in a world, by its name; every other one must have records.
EMPTY = {
    "generated": {
        *("account_attributes", "attribute_definitions", "schedules", "topics", "automations"),
        *("categories", "sections", "articles", "custom_roles", "ticket_activities", "ticket_skips", "triggers"),
    }
}
EMPTY["written"] = {
    *EMPTY["generated"],
    *("user_fields", "organization_fields", "macros", "sla_policies", "satisfaction_ratings"),
}


# (connector, schema, path, type) -> why a value of this type is right although the schema has another.
_LISTS_AND_BOOLEANS = "a checkbox is a boolean and a multi-select a list, as documented; the source casts them to text"
_CC_IDS = "recorded answers have a list of ids"
EXCEPTIONS = {
    ("airbyte", "tickets", "custom_fields.value", "bool"): _LISTS_AND_BOOLEANS,
    ("airbyte", "tickets", "custom_fields.value", "list"): _LISTS_AND_BOOLEANS,
    ("airbyte", "tickets", "fields.value", "bool"): _LISTS_AND_BOOLEANS,
    ("airbyte", "tickets", "fields.value", "list"): _LISTS_AND_BOOLEANS,
    ("airbyte", "tickets", "via.source.to.email_ccs", "list"): _CC_IDS,
    (
        "airbyte",
        "ticket_audits",
        "events.previous_value",
        "list",
    ): "the tags before a change are a list, as those after",
    ("tap-zendesk", "ticket_audits", "events.data.call_duration", "int"): "documented as an integer, as in Airbyte's",
}


@functools.cache
def schemas(connector: str) -> dict[str, dict[str, Any]]:
    if connector == "airbyte":
        return load_schemas(site_packages(connector_bin("airbyte-schemas")) / "source_zendesk_support/schemas")
    return load_schemas(site_packages(connector_bin("tap-zendesk")) / "tap_zendesk/schemas")


def generate() -> Desk:
    desk = Desk()
    for kind, record in generate_world(60, seed=3, until=NOON, account="acme"):
        desk.put(kind, msgspec.json.decode(msgspec.json.encode(record)))
    desk.now = NOON + 90
    return desk


def pages(desk: Desk, path: str) -> Iterator[dict[str, Any]]:
    """Every page, as far as its links lead."""
    target = f"/api/v2/{path}"
    for _ in range(PAGES_MAX):
        page = desk.page(target)
        yield page
        following = next_url(page)
        if following is None:
            return
        url = urlsplit(following)
        target = f"{url.path}?{url.query}"
    raise AssertionError(f"{path}: no end after {PAGES_MAX} pages")


def next_url(page: dict[str, Any]) -> str | None:
    if "end_of_stream" in page:
        return None if page["end_of_stream"] else page.get("after_url") or page["next_page"]
    if "meta" in page:
        return page["links"]["next"] if page["meta"]["has_more"] else None
    return page["before_url"] if "before_url" in page else page.get("next_page")


def records(desk: Desk, name: str, stream: Stream) -> Iterator[Any]:
    """The records as the connector makes them of its pages."""
    paths = [stream.path]
    if "{id}" in stream.path:
        tickets = desk.page("/api/v2/incremental/tickets/cursor.json?start_time=0")["tickets"]
        paths = [stream.path.format(id=ticket["id"]) for ticket in tickets if ticket["status"] != "deleted"]
    for page in (page for path in paths for page in pages(desk, path)):
        found = page[stream.key]
        if name == "ticket_comments":
            yield from comments(found)
        elif name == "attribute_definitions":
            yield from found["conditions_all"] + found["conditions_any"]
        else:
            yield from [found] if isinstance(found, dict) else found


def comments(parents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of ticket events as Airbyte's extractor makes them, of audits as the tap does."""
    for parent in parents:
        for event in parent.get("child_events", ()):
            if event.get("event_type") == "Comment":
                kept = {key: parent.get(key) for key in ("via_reference_id", "ticket_id", "timestamp")}
                via = event.get("via")
                yield {**event, **kept, "via": via if isinstance(via, dict) else None}
        for event in parent.get("events", ()):
            if event["type"] == "Comment":
                yield {**event, **{key: parent[key] for key in ("created_at", "via", "metadata", "ticket_id")}}


@pytest.fixture(scope="module")
def worlds() -> dict[str, Desk]:
    return {"generated": generate(), "written": write_world()}


@pytest.mark.parametrize(("connector", "streams"), [("airbyte", AIRBYTE_STREAMS), ("tap-zendesk", TAP_STREAMS)])
def test_records_fit(worlds: dict[str, Desk], connector: str, streams: dict[str, Stream]) -> None:
    """Every record of every stream has its cursor and fits its schema but for the exceptions; no stream is left out."""
    described = schemas(connector)
    assert {stream.schema or name for name, stream in streams.items()} == described.keys() - NO_RECORDS[connector]
    found, empty = {}, {}
    for world, desk in worlds.items():
        for name, stream in streams.items():
            schema = described[stream.schema or name]
            if connector == "tap-zendesk" and name in ("users", "organizations"):
                kind = f"{name.removesuffix('s')}_fields"
                schema = with_custom_fields(schema, kind, desk.page(f"/api/v2/{kind}.json")[kind])
            values = list(records(desk, name, stream))
            assert all(value[stream.cursor] is not None for value in values), name
            empty.setdefault(world, set()).update(() if values else {name})
            for failure in failures(schema, values):
                found[connector, name, failure.path, failure.type] = f"{world}: {failure.message}"
    assert empty == {world: names & streams.keys() for world, names in EMPTY.items()}
    assert {key: message for key, message in found.items() if key not in EXCEPTIONS} == {}
    assert found.keys() == {key for key in EXCEPTIONS if key[0] == connector}


# Kind -> what a new record needs beside the key that is tried; {} stands for a number that no other record has.
NEEDED = {
    "users": {"name": "N", "email": "u{}@example.com"},
    "organizations": {"name": "O{}"},
    "groups": {"name": "G"},
    "ticket_fields": {"type": "text", "title": "T"},
    "ticket_forms": {"name": "F"},
    "brands": {"name": "B", "subdomain": "s{}"},
}


def test_odd_values_fit() -> None:
    """A value of any type under any key of a record that clients write is refused by name, or fits the schemas."""
    desk = Desk()
    for kind, needed in NEEDED.items():
        resource = RESOURCES[kind]
        for number, (key, value) in enumerate(product(resource.shape, (5, 1.5, "x", True, [], {}, [5], ["x"], None))):
            needs = {name: text.format(number) for name, text in needed.items()}
            body = msgspec.json.encode({resource.singular: {**needs, key: value}})
            headers = [("Authorization", ADMIN), ("Content-Type", "application/json")]
            asked = call_app(
                desk.app, f"/api/v2/{kind}", host="acme.localhost", method="POST", headers=headers, body=body
            )
            answer = asyncio.run(asked)
            content = msgspec.json.decode(answer.body)
            if answer.status == 201:
                for connector in ("airbyte", "tap-zendesk"):
                    if kind in schemas(connector) and (kind, key) != ("brands", "logo"):  # an attachment, as documented
                        assert list(failures(schemas(connector)[kind], [content[resource.singular]])) == [], (
                            key,
                            value,
                        )
            else:
                assert (answer.status, list(content["details"])) == (422, [key]), content
