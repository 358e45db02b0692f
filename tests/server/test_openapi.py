"""The OpenAPI document: whole, valid, and true, as schemathesis finds by asking."""

import gzip
import json
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.desk import ADMIN, NOON, Desk, tickets
from ticketfeed.server.api.call import starlette_routes
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.explorer.openapi import openapi_document


@pytest.fixture(scope="module", autouse=True)
def engine() -> str:
    """In memory only: schemathesis needs the app before any fixture can choose an engine."""
    return "memory"


def make_desk() -> Desk:
    desk = Desk()
    desk.put("users", {"id": 5}, {"id": 6})
    desk.put("tickets", *tickets(1, 2, 3, requester_id=5), *tickets(4, status="deleted"))
    desk.put("audits", {"id": 7, "ticket_id": 1, "events": [{"id": 8, "type": "Comment", "public": True}]})
    desk.put("ticket_metrics", {"id": 9, "ticket_id": 1})
    desk.now = NOON + 60
    return desk


# A ticket has so many keys that trying the bounds of each takes minutes: its bodies are random alone.
CONFIG = schemathesis.Config.from_dict(
    {
        "operations": [
            {"include-method": ["POST", "PUT"], "include-tag": "Tickets", "phases": {"coverage": {"enabled": False}}}
        ]
    }
)
schema = schemathesis.openapi.from_asgi("/_ticketfeed/openapi.json", make_desk().app, config=CONFIG)


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1, read without credentials."""
    answer = Desk().ask("/_ticketfeed/openapi.json", authorization=None)
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(answer.body)
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_is_in_it() -> None:
    """The document names every address that is served, and no other; each also ends in .json."""
    served = {
        (method, re.sub(r":int\}", "}", route.path))
        for route in starlette_routes(API_ROUTES)
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = json.loads(openapi_document())["paths"]
    told = {(method.upper(), path) for path, item in paths.items() for method in item}
    told -= {("GET", "/_ticketfeed/health")}
    one_form = {
        ("GET", f"/api/v2/{name}/{{id}}.json") for name in ("job_statuses", "locales")
    }  # the id takes the ending
    assert told | {(method, f"{path}.json") for method, path in told} - one_form == served
    assert set(paths) == {*(path for _, path in told), "/_ticketfeed/health"}


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_told(case: schemathesis.Case) -> None:
    """Whatever is sent, no answer is a server error, and each has a status, type and shape that the document tells."""
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    case.call_and_validate(headers={"Authorization": ADMIN, "Host": "acme.localhost"}, checks=checks)


@pytest.mark.parametrize("name", ["api", "api/explorer.js", "api/swagger-ui-bundle.js", "api/swagger-ui.css"])
def test_the_explorer(name: str) -> None:
    """The API explorer and its files are served without credentials, compressed, cached, and allow nothing from
    elsewhere."""
    answer = Desk().ask(f"/_ticketfeed/{name}", authorization=None, headers=[("accept-encoding", "gzip")])
    assert answer.status == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["content-encoding"] == "gzip"
    plain = Desk().ask(f"/_ticketfeed/{name}", authorization=None)
    assert gzip.decompress(answer.body) == plain.body
    again = [("if-none-match", answer.headers["etag"])]
    assert Desk().ask(f"/_ticketfeed/{name}", authorization=None, headers=again).status == 304
