"""Organization memberships and identities over the wire."""

from typing import Any

import pytest

from tests.server.desk import Desk, ids


@pytest.fixture
def desk() -> Desk:
    """Two organizations and a user of the first, made by the API."""
    desk = Desk()
    for name in ("North", "South"):
        desk.send("POST", "/organizations", {"organization": {"name": name}}, expect=201)
    person = {"name": "Ann", "email": "ann@example.com", "organization_id": 1}
    desk.send("POST", "/users", {"user": person}, expect=201)
    return desk


def memberships(desk: Desk, user_id: int = 2) -> list[tuple[int, bool]]:
    """(organization_id, default) of a user's memberships."""
    page = desk.page(f"/api/v2/users/{user_id}/organization_memberships")
    return [(each["organization_id"], each["default"]) for each in page["organization_memberships"]]


def organization_id(desk: Desk, user_id: int = 2) -> int | None:
    found: int | None = desk.page(f"/api/v2/users/{user_id}")["user"]["organization_id"]
    return found


def test_memberships_follow_the_user(desk: Desk) -> None:
    """A user's organization is a membership; a new one takes its place, none removes it, a deleted user has none."""
    assert memberships(desk) == [(1, True)]
    listed = desk.page("/api/v2/organization_memberships")["organization_memberships"]
    assert [(each["user_id"], each["organization_name"]) for each in listed] == [(2, "North")]
    desk.send("PUT", "/users/2", {"user": {"organization_id": 2}})
    assert memberships(desk) == [(2, True)]
    desk.send("PUT", "/users/2", {"user": {"organization_id": None}})
    assert memberships(desk) == []
    desk.send("PUT", "/users/2", {"user": {"organization_id": 1}})
    desk.send("DELETE", "/users/2")
    assert memberships(desk) == []
    assert desk.page("/api/v2/organization_memberships/count")["count"]["value"] == 0


def test_the_user_follows_memberships(desk: Desk) -> None:
    """The default membership is the user's organization, whichever address makes it so or removes it."""
    added = {"organization_membership": {"user_id": 2, "organization_id": 2}}
    made = desk.send("POST", "/organization_memberships", added, expect=201)["organization_membership"]
    assert (made["default"], organization_id(desk)) == (False, 1)
    desk.send("POST", "/organization_memberships", added, expect=422)
    assert ids(desk.page("/api/v2/users/2/organizations"), "organizations") == [1, 2]
    assert ids(desk.page("/api/v2/organizations/2/users"), "users") == [2]
    answer = desk.send("PUT", f"/users/2/organization_memberships/{made['id']}/make_default")
    assert [each["default"] for each in answer["organization_memberships"]] == [False, True]
    assert organization_id(desk) == 2
    desk.send("PUT", "/users/2/organizations/1/make_default")
    assert (memberships(desk), organization_id(desk)) == ([(1, True), (2, False)], 1)
    desk.send("DELETE", "/users/2/organizations/1", expect=204)
    assert (memberships(desk), organization_id(desk)) == ([(2, True)], 2)
    desk.send("DELETE", f"/organization_memberships/{made['id']}", expect=204)
    assert (memberships(desk), organization_id(desk)) == ([], None)
    desk.send("PUT", "/users/2/organizations/1/make_default", expect=404)
    desk.send("PUT", f"/organization_memberships/{made['id']}", added, expect=404)


@pytest.mark.parametrize("many", [False, True])
def test_a_deleted_organization_has_no_members(desk: Desk, many: bool) -> None:
    """Its memberships go with it, and its members change over to another organization of theirs, or none."""
    desk.send("POST", "/users", {"user": {"name": "Bo", "organization_id": 1}}, expect=201)
    membership = {"user_id": 2, "organization_id": 2}
    desk.send("POST", "/organization_memberships", {"organization_membership": membership}, expect=201)
    if many:
        desk.send("DELETE", "/organizations/destroy_many?ids=1")
        desk.run_jobs()
    else:
        desk.send("DELETE", "/organizations/1", expect=204)
    assert (memberships(desk), organization_id(desk)) == ([(2, True)], 2)
    assert (memberships(desk, 3), organization_id(desk, 3)) == ([], None)
    assert ids(desk.page("/api/v2/organization_memberships"), "organization_memberships") == [3]
    made = desk.send("POST", "/organizations", {"organization": {"name": "North"}}, expect=201)["organization"]
    assert desk.page(f"/api/v2/organizations/{made['id']}/users")["users"] == []


def test_deleted_groups_and_agents_have_no_memberships(desk: Desk) -> None:
    """They go with their group or user; the default group of an agent is another of the agent's, or none."""
    for name in ("Sales", "Support"):
        desk.send("POST", "/groups", {"group": {"name": name}}, expect=201)
    for name in ("Cy", "Di"):
        desk.send("POST", "/users", {"user": {"name": name, "role": "agent"}}, expect=201)
    for user_id, group_id in ((3, 1), (3, 2), (4, 1)):
        sent = {"group_membership": {"user_id": user_id, "group_id": group_id}}
        desk.send("POST", "/group_memberships", sent, expect=201)
        desk.send("POST", "/group_memberships", sent, expect=422)

    def shown() -> list[tuple[int, int, bool]]:
        page = desk.page("/api/v2/group_memberships")["group_memberships"]
        return [(each["user_id"], each["group_id"], each["default"]) for each in page]

    def default(user_id: int) -> Any:
        return desk.page(f"/api/v2/users/{user_id}")["user"]["default_group_id"]

    assert (shown(), default(3)) == ([(3, 1, True), (3, 2, False), (4, 1, True)], 1)
    desk.send("DELETE", "/groups/1", expect=204)
    assert (shown(), default(3), default(4)) == ([(3, 2, True)], 2, None)
    desk.send("POST", "/tickets", {"ticket": {"comment": "x", "group_id": 2}}, expect=201)
    desk.send("POST", "/tickets", {"ticket": {"comment": "x", "group_id": 1}}, expect=422)
    desk.send("PUT", "/tickets/1", {"ticket": {"group_id": 1}}, expect=422)
    desk.send("DELETE", "/users/3")
    assert shown() == []


def test_many_memberships(desk: Desk) -> None:
    """Many are made and removed by a job, and what cannot be is told."""
    desk.send("POST", "/users", {"user": {"name": "Bo"}}, expect=201)
    sent = [{"user_id": user, "organization_id": 2} for user in (2, 3, 99)]
    desk.send("POST", "/organization_memberships/create_many", {"organization_memberships": sent})
    desk.run_jobs()
    [job] = desk.page("/api/v2/job_statuses")["job_statuses"]
    assert [result.get("status", result.get("error")) for result in job["results"]] == [
        "Created",
        "Created",
        "RecordInvalid",
    ]
    assert (memberships(desk, 3), organization_id(desk, 3)) == ([(2, True)], 2)
    made = [result["id"] for result in job["results"][:2]]
    desk.send("DELETE", f"/organization_memberships/destroy_many?ids={made[0]},{made[1]}")
    desk.run_jobs()
    assert (memberships(desk), memberships(desk, 3), organization_id(desk, 3)) == ([(1, True)], [], None)


def test_the_identities_of_a_user(desk: Desk) -> None:
    """The email address of a user is an identity; others are added, verified, made primary, changed and removed."""
    path = "/users/2/identities"

    def shown() -> list[tuple[Any, ...]]:
        page = desk.page(f"/api/v2{path}")["identities"]
        return [(each["type"], each["value"], each["primary"], each["verified"]) for each in page]

    def email() -> Any:
        return desk.page("/api/v2/users/2")["user"]["email"]

    assert shown() == [("email", "ann@example.com", True, True)]
    assert desk.page(f"/api/v2{path}/2")["identity"]["user_id"] == 2
    second = {"type": "email", "value": "ann@example.org"}
    made = desk.send("POST", path, {"identity": second}, expect=201)["identity"]
    assert made["url"] == f"https://acme.zendesk.com/api/v2{path}/{made['id']}.json"
    desk.send("POST", path, {"identity": second}, expect=422)
    desk.send("POST", path, {"identity": {"type": "email", "value": "admin@example.com"}}, expect=422)
    desk.send("POST", path, {"identity": {"type": "pigeon", "value": "x"}}, expect=422)
    desk.send("POST", path, {"identity": {"value": "x"}}, expect=422)
    desk.send("POST", path, {"identity": {"type": "phone_number", "value": "+1555"}}, expect=201)
    assert desk.send("PUT", f"{path}/{made['id']}/verify")["identity"]["verified"] is True
    answer = desk.send("PUT", f"{path}/{made['id']}/make_primary")
    assert [each["primary"] for each in answer["identities"]] == [False, True, False]
    assert email() == "ann@example.org"
    desk.send("PUT", f"{path}/{made['id']}", {"identity": {"value": "new@example.org"}})
    assert email() == "new@example.org"
    desk.send("DELETE", f"{path}/{made['id']}", expect=204)
    assert email() == "ann@example.com"
    assert shown() == [("email", "ann@example.com", True, True), ("phone_number", "+1555", False, False)]
    assert desk.page(f"/api/v2{path}/count")["count"]["value"] == 2
    desk.send("PUT", "/users/2", {"user": {"email": "other@example.com"}})
    assert [primary for _, _, primary, _ in shown()].count(True) == 1
    for method, target in (("GET", f"{path}/999"), ("PUT", f"{path}/999/verify"), ("GET", "/users/99/identities")):
        desk.send(method, target, {}, expect=404)


def test_users_with_identities(desk: Desk) -> None:
    """A user is written with identities: the first email is the user's, and one that there is already stays one."""

    def shown(id: int) -> list[tuple[Any, ...]]:
        page = desk.page(f"/api/v2/users/{id}/identities")["identities"]
        return [(each["type"], each["value"], each["primary"], each["verified"]) for each in page]

    sent: list[dict[str, Any]] = [{"type": "phone_number", "value": "+1555"}, {"type": "email", "value": "b@x.example"}]
    user = {"name": "Bo", "identities": sent}
    made = desk.send("POST", "/users", {"user": user}, expect=201)["user"]
    assert (made["id"], made["email"], "identities" in made) == (3, "b@x.example", False)
    assert shown(3) == [("phone_number", "+1555", False, False), ("email", "b@x.example", True, False)]
    second = {"type": "email", "value": "B@y.example", "primary": True, "verified": True}
    user["identities"] = [*sent, second]
    for _ in range(2):
        changed = desk.send("POST", "/users/create_or_update", {"user": {**user, "email": "b@x.example"}})["user"]
        assert (changed["id"], changed["email"], changed["verified"]) == (3, "B@y.example", True)
        second["primary"] = False
        desk.send("PUT", "/users/3", {"user": {"identities": [{**second, "value": "b@Y.example", "verified": True}]}})
        assert [each[:3] for each in shown(3)] == [
            ("phone_number", "+1555", False),
            ("email", "b@x.example", False),
            ("email", "B@y.example", True),
        ]
        desk.send("PUT", "/users/3", {"user": {"identities": None}})
        desk.send("PUT", "/users/3", {"user": {"email": "b@x.example"}})
        second["primary"] = True
    for wrong in ("x", [5], [None], [{}], [{"type": "email"}], [{"type": "email", "value": "ann@example.com"}]):
        refused = desk.send("POST", "/users", {"user": {"name": "No", "identities": wrong}}, expect=422)
        assert list(refused["details"]) == ["identities"]
        desk.send("PUT", "/users/3", {"user": {"identities": wrong}}, expect=422)
    assert desk.page("/api/v2/users/count")["count"]["value"] == 3
    desk.send(
        "POST",
        "/users/create_many",
        {"users": [{"name": "Cy", "identities": [{"type": "email", "value": "c@x.example"}]}]},
    )
    desk.run_jobs()
    assert shown(4) == [("email", "c@x.example", True, False)]


def test_every_address_of_a_user_is_the_users_alone(desk: Desk) -> None:
    """A second email address finds the user, and nobody else may have it, until its user is deleted."""
    second = {"type": "email", "value": "Second@x.example"}
    desk.send("POST", "/users/2/identities", {"identity": second}, expect=201)
    requested = {"ticket": {"comment": "x", "requester": {"email": "second@x.example", "name": "Ann"}}}
    assert desk.send("POST", "/tickets", requested, expect=201)["ticket"]["requester_id"] == 2
    other = {"user": {"name": "Bo", "email": "second@X.example"}}
    desk.send("POST", "/users", other, expect=422)
    assert desk.send("POST", "/users/create_or_update", other)["user"]["id"] == 2
    desk.send("POST", "/users/1/identities", {"identity": second}, expect=422)
    desk.send("DELETE", "/users/2")
    desk.send("POST", "/users", other, expect=201)
