"""A help desk written through the API: each kind that clients write, with every key that they set in practice."""

from typing import Any

from tests.server.desk import Desk

__all__ = ["write_world"]

FIELD_VALUES = {
    "text": "a text",
    "textarea": "two\nlines",
    "integer": 7,
    "decimal": 1.5,
    "date": "2023-11-14",
    "checkbox": True,
    "regexp": "AB-12",
    "tagger": "red",
    "multiselect": ["red", "blue"],
    "partialcreditcard": "XXXXXXXXXXXX1234",
    "lookup": None,
}
OPTIONS = [{"name": "Red", "value": "red"}, {"name": "Blue", "value": "blue"}]


def write_world() -> Desk:
    """A desk in which everything but the admin was made by requests, over some days."""
    desk = Desk()
    made = _Made(desk)
    made.people()
    made.settings()
    made.tickets()
    desk.now += 90
    return desk


class _Made:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def _send(self, method: str, path: str, value: Any = None, expect: int = 200) -> Any:
        self._desk.now += 61
        return self._desk.send(method, path, value, expect=expect)

    def _create(self, kind: str, singular: str, **values: Any) -> int:
        return int(self._send("POST", f"/{kind}", {singular: values}, 201)[singular]["id"])

    def people(self) -> None:
        self.group = self._create("groups", "group", name="Support", description="All of it", is_public=False)
        self.organization = self._create(
            "organizations",
            "organization",
            name="ACME",
            external_id="acme-1",
            domain_names=["acme.com"],
            tags=["vip"],
            group_id=self.group,
            details="A note",
            notes="Another",
            shared_tickets=True,
            shared_comments=True,
            organization_fields={"plan": "gold", "seats": 12, "signed": True},
        )
        other = self._create("organizations", "organization", name="Other")
        self.agent = self._create("users", "user", name="Ann", email="ann@acme.com", role="agent", verified=True)
        self.requester = self._create(
            "users",
            "user",
            name="Cid",
            email="cid@example.org",
            phone="+15551234567",
            organization_id=self.organization,
            external_id="c-1",
            tags=["vip", "beta"],
            notes="tall",
            details="likes tea",
            locale="de",
            time_zone="Berlin",
            signature="Cid",
            alias="C",
            user_fields={"level": "gold", "age": 44, "member": True},
        )
        self._send("PUT", f"/users/{self.requester}", {"user": {"suspended": True, "default_group_id": None}})
        self._send("PUT", f"/users/{self.requester}", {"user": {"suspended": False}})
        gone = self._create("users", "user", name="Gone", email="gone@example.org")
        self._send("DELETE", f"/users/{gone}")
        self._create("group_memberships", "group_membership", user_id=self.agent, group_id=self.group, default=True)
        self._create(
            "organization_memberships", "organization_membership", user_id=self.requester, organization_id=other
        )
        for type, value in (("email", "c@example.net"), ("phone_number", "+15550000000"), ("twitter", "cid")):
            self._create(f"users/{self.requester}/identities", "identity", type=type, value=value)

    def settings(self) -> None:
        self.fields = {}
        for position, type in enumerate(FIELD_VALUES):
            options = {"custom_field_options": OPTIONS} if type in ("tagger", "multiselect") else {}
            pattern = {"regexp_for_validation": "[A-Z]+-[0-9]+"} if type == "regexp" else {}
            values = {"title": f"A {type}", "position": position, "description": "Text", "required": False}
            self.fields[type] = self._create("ticket_fields", "ticket_field", type=type, **values, **options, **pattern)
        self.form = self._create(
            "ticket_forms",
            "ticket_form",
            name="Returns",
            display_name="Send it back",
            end_user_visible=True,
            position=1,
            active=True,
            ticket_field_ids=list(self.fields.values()),
        )
        self.brand = self._create("brands", "brand", name="Acme", subdomain="acme", active=True, signature_template="x")
        self.status = self._create(
            "custom_statuses", "custom_status", status_category="open", agent_label="Waiting", end_user_label="Wait"
        )
        for kind, id in (("ticket_fields", self.fields["text"]), ("ticket_forms", self.form), ("brands", self.brand)):
            singular = kind.removesuffix("s")
            self._send("PUT", f"/{kind}/{id}", {singular: {"active": True}})

    def _ticket(self, **values: Any) -> int:
        return int(self._send("POST", "/tickets", {"ticket": {"comment": "Hello", **values}}, 201)["ticket"]["id"])

    def _update(self, id: int, **values: Any) -> None:
        self._send("PUT", f"/tickets/{id}", {"ticket": values})

    def tickets(self) -> None:
        full = self._ticket(
            subject="Everything",
            comment={"html_body": "<p>Hello</p>", "public": True},
            requester_id=self.requester,
            submitter_id=self.agent,
            assignee_id=self.agent,
            group_id=self.group,
            external_id="t-1",
            type="task",
            due_at="2023-12-01T10:00:00Z",
            priority="high",
            tags=["one", "two"],
            recipient="help@acme.com",
            followers=[{"user_id": self.agent}],
            email_ccs=[{"user_email": "copy@example.com", "user_name": "Copy"}],
            custom_fields=[{"id": id, "value": FIELD_VALUES[type]} for type, id in self.fields.items()],
            ticket_form_id=self.form,
            brand_id=self.brand,
            metadata={"custom": {"source": "import", "n": 5}},
        )
        self._update(full, comment={"body": "internal", "public": False, "author_id": self.agent})
        self._update(full, custom_status_id=self.status)
        self._update(full, custom_fields=[{"id": id, "value": None} for id in self.fields.values()])
        self._update(full, type="problem", additional_tags=["three"], remove_tags=["one"])
        self._update(full, voice_comment={"from": "+1555", "to": "+1556", "call_duration": 40, "recording_url": "x"})
        self._send("PUT", f"/tickets/{full}/tags", {"tags": ["four"]})
        incident = self._ticket(type="incident", problem_id=full, requester={"name": "New", "email": "n@example.com"})
        self._update(incident, status="pending", comment="Wait")
        self._update(incident, status="hold")
        self._update(incident, status="open", comment={"body": "Back", "author_id": self.requester})
        self._update(full, status="solved", comment="Done")
        self._update(full, status="open")
        self._update(full, status="solved")
        self._update(incident, status="solved")
        self._update(incident, status="closed")
        self._ticket(via_followup_source_id=incident)
        plain, merged, deleted, scrubbed = (self._ticket() for _ in range(4))
        self._send(
            "POST", f"/tickets/{plain}/merge", {"ids": [merged], "target_comment": "in", "source_comment": "out"}
        )
        self._send("DELETE", f"/tickets/{deleted}", expect=204)
        self._send("DELETE", f"/tickets/{scrubbed}", expect=204)
        self._send("DELETE", f"/deleted_tickets/{scrubbed}")
        self._send(
            "POST",
            "/imports/tickets",
            {
                "ticket": {
                    "subject": "From elsewhere",
                    "created_at": "2020-01-01T00:00:00Z",
                    "updated_at": "2020-01-05T00:00:00Z",
                    "solved_at": "2020-01-05T00:00:00Z",
                    "status": "solved",
                    "comments": [
                        {"body": "First", "created_at": "2020-01-01T00:00:00Z", "author_id": self.requester},
                        {"body": "Second", "created_at": "2020-01-02T00:00:00Z", "public": False},
                    ],
                }
            },
            201,
        )
        self._send("POST", "/tickets/create_many", {"tickets": [{"comment": "a"}, {"comment": "b", "status": "new"}]})
        self._desk.run_jobs()
