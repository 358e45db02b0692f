"""What each request that changes something is for, takes and answers: the text of the document, beside operations."""

from typing import NamedTuple

from ticketfeed.server.api.lists import RESOURCES
from ticketfeed.server.api.operations import OPERATIONS, Operation
from ticketfeed.server.api.record_writes import WRITTEN

__all__ = ["WRITE_OPERATIONS", "WriteOperation"]

_TICKETS, _JOBS, _RECORDS = "Tickets", "Jobs", "Records"
_JOB = {"job_status": "object"}


class WriteOperation(NamedTuple):
    """`takes`: the keys of the body -> array, object. `statuses`: of answers that are no errors; 204 has no body."""

    tag: str
    summary: str
    takes: dict[str, str]
    keys: dict[str, str]
    statuses: tuple[str, ...] = ("200",)
    parameters: tuple[str, ...] = ()
    role: str = "agent"


_TICKET, _TAGS = {"ticket": "object"}, {"tags": "array"}
_BOTH = {"ticket": "object", "audit": "object?"}

# (method, path) -> what it is
WRITE_OPERATIONS: dict[tuple[str, str], WriteOperation] = {
    ("POST", "/tickets"): WriteOperation(_TICKETS, "Make a ticket", _TICKET, _BOTH, ("201",)),
    ("PUT", "/tickets/{id}"): WriteOperation(_TICKETS, "Change a ticket", _TICKET, _BOTH),
    ("DELETE", "/tickets/{id}"): WriteOperation(_TICKETS, "Delete a ticket", {}, {}, ("204",)),
    ("PUT", "/tickets/{id}/mark_as_spam"): WriteOperation(_TICKETS, "Delete it, and suspend its requester", {}, {}),
    ("POST", "/tickets/{id}/tags"): WriteOperation(_TICKETS, "Set a ticket's tags", _TAGS, _TAGS, ("201",)),
    ("PUT", "/tickets/{id}/tags"): WriteOperation(_TICKETS, "Add tags to a ticket", _TAGS, _TAGS),
    ("DELETE", "/tickets/{id}/tags"): WriteOperation(_TICKETS, "Take tags from a ticket", _TAGS, _TAGS),
    ("POST", "/tickets/{id}/merge"): WriteOperation(_TICKETS, "Merge others into a ticket", {"ids": "array"}, _JOB),
    ("POST", "/tickets/create_many"): WriteOperation(_TICKETS, "Make up to 100 tickets", {"tickets": "array"}, _JOB),
    ("PUT", "/tickets/update_many"): WriteOperation(
        _TICKETS, "Change up to 100 tickets: all alike by ids, or each its own", _TICKET, _JOB, parameters=("ids",)
    ),
    ("DELETE", "/tickets/destroy_many"): WriteOperation(
        _TICKETS, "Delete up to 100 tickets", {}, _JOB, parameters=("ids",)
    ),
    ("POST", "/imports/tickets"): WriteOperation(
        _TICKETS, "Make a ticket with its history", _TICKET, _TICKET, ("201",), role="admin"
    ),
    ("POST", "/imports/tickets/create_many"): WriteOperation(
        _TICKETS, "Make up to 100 tickets with their history", {"tickets": "array"}, _JOB, role="admin"
    ),
    ("PUT", "/deleted_tickets/{id}/restore"): WriteOperation(_TICKETS, "Restore a deleted ticket", {}, {}),
    ("DELETE", "/deleted_tickets/{id}"): WriteOperation(
        _TICKETS, "Delete a deleted ticket for good", {}, _JOB, role="admin"
    ),
    ("DELETE", "/deleted_tickets/destroy_many"): WriteOperation(
        _TICKETS, "Delete up to 100 deleted tickets for good", {}, _JOB, parameters=("ids",), role="admin"
    ),
}
OPERATIONS |= {
    "/job_statuses": Operation(_JOBS, "The newest jobs", ("ids",), {"job_statuses": "array"}),
    "/job_statuses/show_many": Operation(_JOBS, "Several jobs", ("ids",), {"job_statuses": "array"}),
    "/job_statuses/{id}": Operation(_JOBS, "How far a job is", (), _JOB),
}
for _each in RESOURCES:
    if _each.kind not in WRITTEN:
        continue
    _role, _in_bulk = WRITTEN[_each.kind]
    _words, _what = _each.kind.replace("_", " "), {_each.singular: "object"}
    _gone, _status = (_what, "200") if _each.kind == "users" else ({}, "204")
    WRITE_OPERATIONS |= {
        ("POST", _each.path): WriteOperation(_RECORDS, f"Make one of the {_words}", _what, _what, ("201",), role=_role),
        ("PUT", f"{_each.path}/{{id}}"): WriteOperation(
            _RECORDS, f"Change one of the {_words}", _what, _what, role=_role
        ),
        ("DELETE", f"{_each.path}/{{id}}"): WriteOperation(
            _RECORDS, f"Delete one of the {_words}", {}, _gone, (_status,), role=_role
        ),
    }
    if _in_bulk:
        _many = {_each.kind: "array"}
        WRITE_OPERATIONS |= {
            ("POST", f"{_each.path}/create_or_update"): WriteOperation(
                _RECORDS, f"Make one of the {_words}, or change the one that is there", _what, _what, ("200", "201")
            ),
            ("POST", f"{_each.path}/create_many"): WriteOperation(_RECORDS, f"Make up to 100 {_words}", _many, _JOB),
            ("PUT", f"{_each.path}/update_many"): WriteOperation(
                _RECORDS, f"Change up to 100 {_words}", _what, _JOB, parameters=("ids", "external_ids")
            ),
            ("DELETE", f"{_each.path}/destroy_many"): WriteOperation(
                _RECORDS, f"Delete up to 100 {_words}", {}, _JOB, parameters=("ids", "external_ids")
            ),
        }
    if _each.kind == "users":
        WRITE_OPERATIONS["POST", f"{_each.path}/create_or_update_many"] = WriteOperation(
            _RECORDS, "Make or change up to 100 users", {"users": "array"}, _JOB
        )
