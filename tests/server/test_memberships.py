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
