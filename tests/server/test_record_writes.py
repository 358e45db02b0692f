"""Users, organizations and the other records over the wire: made, changed, deleted, and what lists and exports show."""

import asyncio
from typing import Any

import pytest

from tests.server.desk import Desk, ids, tickets
from ticketfeed.data.integrity_check import check_store
from ticketfeed.inprocess import call_app


@pytest.fixture
def desk() -> Any:
    desk = Desk()
    yield desk
    found: list[str] = []
    asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, found.append)))
    assert found == []


NEW = [
    ("users", "user", {"name": "Ann", "email": "ann@example.com"}, {"notes": "tall"}),
    ("organizations", "organization", {"name": "ACME", "domain_names": ["acme.com"]}, {"notes": "big"}),
    ("groups", "group", {"name": "Support"}, {"description": "all of it"}),
    ("ticket_fields", "ticket_field", {"type": "text", "title": "Colour"}, {"title": "Color"}),
    ("ticket_forms", "ticket_form", {"name": "Returns"}, {"active": False}),
    ("brands", "brand", {"name": "Acme", "subdomain": "acme"}, {"name": "Acme Ltd"}),
    ("custom_statuses", "custom_status", {"status_category": "open", "agent_label": "Waiting"}, {"agent_label": "W"}),
]


@pytest.mark.parametrize(("kind", "singular", "given", "change"), NEW, ids=[kind for kind, *_ in NEW])
def test_life(desk: Desk, kind: str, singular: str, given: dict[str, Any], change: dict[str, Any]) -> None:
    """201 with Location, 200 with the change, then gone from the list."""
    made = desk.send("POST", f"/{kind}", {singular: given}, expect=201)[singular]
    assert made == {**made, **given}
    assert desk.answer.headers["location"] == f"http://acme.localhost/api/v2/{kind}/{made['id']}.json"
    desk.now += 5
    changed = desk.send("PUT", f"/{kind}/{made['id']}.json", {singular: change})[singular]
    assert changed == {**made, **change, "updated_at": changed["updated_at"], **_raw(change, made)}
    assert changed["updated_at"] > made["updated_at"]
    assert made["id"] in ids(desk.send("GET", f"/{kind}"), kind)
    gone = desk.send("DELETE", f"/{kind}/{made['id']}", expect=200 if kind == "users" else 204)
    assert made["id"] not in ids(desk.send("GET", f"/{kind}"), kind)
    if kind == "users":
        assert gone["user"]["active"] is False
        assert desk.send("GET", f"/users/{made['id']}")["user"]["active"] is False
    else:
        desk.send("GET", f"/{kind}/{made['id']}", expect=404)
    desk.send("DELETE", f"/{kind}/{made['id']}", expect=404)
    desk.send("PUT", f"/{kind}/{made['id']}", {singular: change}, expect=404)


def _raw(change: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    return {f"raw_{name}": value for name, value in change.items() if f"raw_{name}" in made}


def test_what_exports_and_sideloads_show(desk: Desk) -> None:
    """A deactivated user and a deleted organization are told there, with their new state."""
    organization = desk.send("POST", "/organizations", {"organization": {"name": "ACME"}}, expect=201)["organization"]
    given = {"name": "Ann", "email": "ann@example.com", "organization_id": organization["id"]}
    user = desk.send("POST", "/users", {"user": given}, expect=201)["user"]
    created = {"comment": "x", "requester_id": user["id"]}
    assert (
        desk.send("POST", "/tickets", {"ticket": created}, expect=201)["ticket"]["organization_id"]
        == organization["id"]
    )
    desk.now += 5
    desk.send("DELETE", f"/users/{user['id']}")
    desk.send("DELETE", f"/organizations/{organization['id']}", expect=204)
    desk.now += 5
    page = desk.page("/api/v2/incremental/tickets/cursor?start_time=0&include=users,organizations")
    assert [u["active"] for u in page["users"] if u["id"] == user["id"]] == [False]
    assert page["organizations"][0]["deleted_at"] is not None
    users = desk.page("/api/v2/incremental/users/cursor?start_time=0")["users"]
    assert [u["active"] for u in users if u["id"] == user["id"]] == [False]
    organizations = desk.page("/api/v2/incremental/organizations?start_time=0")["organizations"]
    assert [o["deleted_at"] is None for o in organizations] == [False]


def test_a_deactivated_user_may_not_come_in(desk: Desk) -> None:
    """From the next request on."""
    given = {"name": "Bob", "email": "bob@example.com", "role": "admin"}
    user = desk.send("POST", "/users", {"user": given}, expect=201)["user"]
    desk.grant(user["id"], "bob-token")

    def ask() -> int:
        headers = [("Authorization", "Bearer bob-token")]
        return asyncio.run(call_app(desk.app, "/api/v2/users", host="acme.localhost", headers=headers)).status

    assert ask() == 200
    desk.send("DELETE", f"/users/{user['id']}")
    assert ask() == 401


def test_create_or_update(desk: Desk) -> None:
    """By email or external_id: 201 for a new one, 200 for one that was there."""
    given = {"name": "Ann", "email": "ann@example.com", "external_id": "a1"}
    first = desk.send("POST", "/users/create_or_update", {"user": given}, expect=201)["user"]
    given = {"name": "Anna", "email": "ANN@example.com"}
    again = desk.send("POST", "/users/create_or_update", {"user": given})["user"]
    assert (again["id"], again["name"], again["external_id"]) == (first["id"], "Anna", "a1")
    moved = {"external_id": "a1", "name": "Anne", "email": "anne@example.com"}
    assert desk.send("POST", "/users/create_or_update", {"user": moved})["user"]["id"] == first["id"]
    organization = {"organization": {"name": "ACME", "external_id": "o1"}}
    made = desk.send("POST", "/organizations/create_or_update", organization, expect=201)["organization"]
    assert desk.send("POST", "/organizations/create_or_update", organization)["organization"]["id"] == made["id"]


def test_an_agent_makes_nobody_more_than_an_end_user(desk: Desk) -> None:
    """Nor changes or deletes other agents and admins; of oneself all but the role."""
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")

    def ask(method: str, path: str, values: dict[str, Any], expect: int) -> Any:
        value = {"user": values} if values else None
        return desk.send(method, path, value, expect=expect, authorization="Bearer agent-token")

    ask("POST", "/users", {"name": "Evil", "role": "admin"}, 403)
    ask("POST", "/users/create_or_update", {"name": "Evil", "email": "admin@example.com"}, 403)
    ask("PUT", "/users/9", {"role": "admin"}, 403)
    ask("PUT", "/users/1", {"email": "mine@example.com"}, 403)
    ask("DELETE", "/users/1", {}, 403)
    assert ask("PUT", "/users/9", {"alias": "A", "role": "agent"}, 200)["user"]["alias"] == "A"
    made = ask("POST", "/users", {"name": "Ann"}, 201)["user"]
    ask("PUT", f"/users/{made['id']}", {"role": "agent"}, 403)
    ask("DELETE", f"/users/{made['id']}", {}, 200)


def test_what_names_one_alone(desk: Desk) -> None:
    """An email or external_id in use is refused; that of a deleted one may be taken again."""
    given = {"name": "Ann", "email": "ann@example.com", "external_id": 7}
    first = desk.send("POST", "/users", {"user": given}, expect=201)["user"]
    assert first["external_id"] == "7"
    for taken in ({"email": " ANN@example.com"}, {"external_id": "7"}):
        refused = desk.send("POST", "/users", {"user": {"name": "Bob", **taken}}, expect=422)
        assert refused["details"][next(iter(taken))][0]["error"] == "DuplicateValue"
    desk.send("PUT", f"/users/{first['id']}", {"user": given})
    desk.send("DELETE", f"/users/{first['id']}")
    again = desk.send("POST", "/users/create_or_update", {"user": given}, expect=201)["user"]
    assert again["id"] != first["id"]
    assert desk.send("POST", "/users/create_or_update", {"user": given})["user"]["id"] == again["id"]
    organization = {"organization": {"name": "ACME", "external_id": "o"}}
    desk.send("POST", "/organizations", organization, expect=201)
    desk.send("POST", "/organizations", organization, expect=422)


def test_fields_and_tags(desk: Desk) -> None:
    """Fields that are not named stay; tags become lower case and may come as one text."""
    given = {"name": "Ann", "user_fields": {"a": 1, "b": 2}, "tags": "VIP, new"}
    made = desk.send("POST", "/users", {"user": given}, expect=201)["user"]
    assert made["tags"] == ["new", "vip"]
    change = {"user_fields": {"b": None, "c": "x"}, "tags": ["Old"]}
    changed = desk.send("PUT", f"/users/{made['id']}", {"user": change})["user"]
    assert (changed["user_fields"], changed["tags"]) == ({"a": 1, "b": None, "c": "x"}, ["old"])


def test_by_external_id(desk: Desk) -> None:
    """Bulk changes and deletions find users by external_id; one that is not there is told."""
    users = [{"name": name, "external_id": name} for name in "abc"]
    desk.send("POST", "/users/create_many", {"users": users})
    desk.run_jobs()

    def results(method: str, path: str, value: Any = None) -> list[Any]:
        job = desk.send(method, path, value)["job_status"]
        desk.run_jobs()
        return [r["success"] for r in desk.send("GET", f"/job_statuses/{job['id']}")["job_status"]["results"]]

    assert results("PUT", "/users/update_many?external_ids=a,x", {"user": {"notes": "same"}}) == [True, False]
    own = [{"external_id": "b", "notes": "own"}, {"external_id": "c", "notes": "own"}]
    assert results("PUT", "/users/update_many?external_ids=b,c", {"users": own}) == [True, True]
    assert results("DELETE", "/users/destroy_many?external_ids=c,x") == [True, False]
    shown = {user["external_id"]: user["notes"] for user in desk.send("GET", "/users")["users"]}
    assert shown == {"a": "same", "b": "own", None: None}


def test_memberships(desk: Desk) -> None:
    """The first group of an agent is the default one, which tickets take from the assignee."""
    group = desk.send("POST", "/groups", {"group": {"name": "Support"}}, expect=201)["group"]
    agent = {"name": "Bob", "email": "bob@example.com", "role": "agent"}
    user = desk.send("POST", "/users", {"user": agent}, expect=201)["user"]
    link = {"user_id": user["id"], "group_id": group["id"]}
    made = desk.send("POST", "/group_memberships", {"group_membership": link}, expect=201)["group_membership"]
    assert made["default"] is True
    ticket = desk.send("POST", "/tickets", {"ticket": {"comment": "x", "assignee_id": user["id"]}}, expect=201)[
        "ticket"
    ]
    assert ticket["group_id"] == group["id"]
    desk.send("DELETE", f"/group_memberships/{made['id']}", expect=204)
    assert desk.send("GET", f"/users/{user['id']}")["user"]["default_group_id"] is None
    end_user = desk.send("POST", "/users", {"user": {"name": "Eve"}}, expect=201)["user"]
    link = {"user_id": end_user["id"], "group_id": group["id"]}
    desk.send("POST", "/group_memberships", {"group_membership": link}, expect=422)
    desk.send("DELETE", f"/groups/{group['id']}", expect=204)
    link = {"user_id": user["id"], "group_id": group["id"]}
    desk.send("POST", "/group_memberships", {"group_membership": link}, expect=422)


def test_drop_down(desk: Desk) -> None:
    """Options get ids; a ticket that chooses one gets its tag."""
    options = [{"name": "Red", "value": "red"}, {"name": "Blue", "value": "blue"}]
    given = {"type": "tagger", "title": "Colour", "custom_field_options": options}
    field = desk.send("POST", "/ticket_fields", {"ticket_field": given}, expect=201)["ticket_field"]
    assert [option["id"] for option in field["custom_field_options"]] == [1, 2]
    asked = {"comment": "x", "custom_fields": [{"id": field["id"], "value": "red"}]}
    assert desk.send("POST", "/tickets", {"ticket": asked}, expect=201)["ticket"]["tags"] == ["red"]


def test_bulk(desk: Desk) -> None:
    """Jobs for users and organizations."""
    users = [{"name": "A", "email": "a@example.com"}, {"name": "", "email": "b@example.com"}, {"name": "C"}]
    job = desk.send("POST", "/users/create_many", {"users": users})["job_status"]
    desk.run_jobs()
    results = desk.send("GET", f"/job_statuses/{job['id']}")["job_status"]["results"]
    assert [result.get("status") for result in results] == ["Created", None, "Created"]
    made = [results[0]["id"], results[2]["id"]]
    desk.send("PUT", f"/users/update_many?ids={made[0]},{made[1]}", {"user": {"notes": "x"}})
    desk.run_jobs()
    assert [desk.send("GET", f"/users/{id}")["user"]["notes"] for id in made] == ["x", "x"]
    desk.send("POST", "/users/create_or_update_many", {"users": [{"name": "AA", "email": "a@example.com"}]})
    desk.send("DELETE", f"/users/destroy_many?ids={made[1]}")
    desk.run_jobs()
    assert desk.send("GET", f"/users/{made[0]}")["user"]["name"] == "AA"
    assert not desk.send("GET", f"/users/{made[1]}")["user"]["active"]
    desk.send("POST", "/organizations/create_many", {"organizations": [{"name": "O"}]})
    desk.run_jobs()
    assert len(desk.send("GET", "/organizations")["organizations"]) == 1


BAD = [
    ("POST", "/users", {"user": {}}, 422, "name"),
    ("POST", "/users", {"user": {"name": ""}}, 422, "name"),
    ("POST", "/users", {"user": {"name": 7}}, 422, "name"),
    ("POST", "/users", {"user": {"name": "X", "email": "admin@example.com"}}, 422, "email"),
    ("POST", "/users", {"user": {"name": "X", "email": "nobody"}}, 422, "email"),
    ("POST", "/users", {"user": {"name": "X", "email": "a b@example.com"}}, 422, "email"),
    ("POST", "/users", {"user": {"name": "X", "email": "a" * 320 + "@example.com"}}, 422, "email"),
    ("POST", "/users", {"user": {"name": " "}}, 422, "name"),
    ("PUT", "/users/1", {"user": {"name": " "}}, 422, "name"),
    ("POST", "/users", {"user": {"name": "X", "external_id": 10**30}}, 422, "external_id"),
    ("POST", "/users", b'{"user": {"name": "X", "unknown": "\xff"}}', 400, "error"),
    ("POST", "/users", b'{"user": {"name": "X", "alias": "\xff"}}', 400, "error"),
    ("POST", "/users", {"user": {"name": "X", "role": "king"}}, 422, "role"),
    ("POST", "/users", {"user": {"name": "X", "organization_id": 777}}, 422, "organization_id"),
    ("POST", "/users/create_or_update", {"user": {"name": "X", "email": "x\0@example.com"}}, 422, "email"),
    ("POST", "/users/create_or_update", {"user": {"name": "X", "external_id": "x\0"}}, 422, "external_id"),
    ("PUT", "/users/update_many", {"users": [{"external_id": "x\0"}]}, 400, "error"),
    ("POST", "/users", {"users": {}}, 400, "error"),
    ("POST", "/users", b"{", 400, "error"),
    ("PUT", "/users/777", {"user": {"name": "X"}}, 404, "error"),
    ("DELETE", "/users/1", None, 422, "base"),
    ("POST", "/organizations", {"organization": {"name": ""}}, 422, "name"),
    ("POST", "/groups", {"group": []}, 422, "base"),
    ("POST", "/group_memberships", {"group_membership": {"user_id": 1}}, 422, "group_id"),
    ("PUT", "/users/update_many?external_ids=a", {"users": [{"external_id": "a"}, {"notes": "x"}]}, 400, "error"),
    (
        "POST",
        "/custom_statuses",
        {"custom_status": {"status_category": "x", "agent_label": "y"}},
        422,
        "status_category",
    ),
]


@pytest.mark.parametrize(("method", "path", "value", "status", "told"), BAD)
def test_bad_input(desk: Desk, method: str, path: str, value: Any, status: int, told: str) -> None:
    """Each in the wire's shape, with the field at fault; nothing is left behind."""
    before = desk.send("GET", "/users")
    answer = desk.send(method, path, value, expect=status)
    assert told in (answer["details"] if status == 422 else answer)
    assert desk.send("GET", "/users") == before


def test_deleted_links_stay(desk: Desk) -> None:
    """A ticket keeps what it names, also when that is deleted."""
    group = desk.send("POST", "/groups", {"group": {"name": "Support"}}, expect=201)["group"]
    desk.put("tickets", *tickets(1, group_id=group["id"]))
    desk.send("DELETE", f"/groups/{group['id']}", expect=204)
    assert desk.changes()[1]["group_id"] == group["id"]
    page = desk.page("/api/v2/incremental/tickets/cursor?start_time=0&include=groups")
    assert page["groups"][0]["deleted"] is True
