"""Tickets on which other exporters stumble: name -> the records, in the order in which they are exported."""

import json
from typing import Any

from ticketfeed.protocol.shapes import TICKET_SHAPE

__all__ = ["TRAPS", "plain_ticket", "ticket"]

_NOON = 1_780_000_000


def ticket(id: int, /, **values: Any) -> dict[str, Any]:
    """A ticket with all documented keys, in wire order."""
    derived: dict[str, Any] = {
        "url": f"https://acme.zendesk.com/api/v2/tickets/{id}.json",
        "id": id,
        "created_at": "2026-05-28T20:26:40Z",
        "updated_at": "2026-05-28T20:26:40Z",
        "generated_timestamp": _NOON + id,
        "raw_subject": values.get("subject"),
        "custom_fields": [],
        "encoded_id": f"{id:06d}-XXXXX",
        "fields": values.get("custom_fields", []),
    }
    shape = {key: derived[key] if unset is None else json.loads(unset) for key, unset in TICKET_SHAPE.items()}
    return {**shape, **values}


def plain_ticket(id: int, /, **values: Any) -> bytes:
    return _bytes(ticket(id, **values))


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value[key] for key in value if key not in keys}


def _fields(*pairs: tuple[int, Any]) -> list[dict[str, Any]]:
    return [{"id": id, "value": value} for id, value in pairs]


_SCRUBBED = {"subject": "SCRUBBED", "description": "SCRUBBED", "requester_id": -1, "tags": [], "status": "deleted"}
_ROBIN = {"name": "Robin", "address": "r@example.com"}

TRAPS: dict[str, list[bytes]] = {
    name: [record if isinstance(record, bytes) else _bytes(record) for record in records]
    for name, records in {
        "unknown key": [ticket(1, brand_new=1)],
        "unknown nested key": [ticket(1, brand_new={"a": [1, {"b": None}]})],
        "unknown key that differs by case": [ticket(1, ID=2, Status="x", SUBJECT="y")],
        "key like a reserved one": [ticket(1, _extra={"a": 1})],
        "key like a bookkeeping one": [ticket(1, _absent=["id"], _record=7)],
        "key with odd characters": [ticket(1, **{'a"b': 1, "c d": 2, "": 3, "é.ü": 4, "_dlt_id": 5})],
        "key missing": [_without(ticket(1), "encoded_id", "support_type")],
        "most keys missing": [{"id": 1, "status": "open"}],
        "keys in another order": [dict(reversed(ticket(1).items()))],
        "key twice": [b'{"id":1,"subject":"first","subject":"second"}'],
        "null everywhere": [dict.fromkeys(ticket(1)) | {"id": 1}],
        "largest 64-bit numbers": [ticket(1, requester_id=2**63 - 1, group_id=-(2**63))],
        "number beyond 64 bits": [ticket(1, requester_id=2**63, group_id=10**30)],
        "number beyond a double": [_bytes(ticket(1)).replace(b'"group_id":null', b'"group_id":1E400')],
        "number with many digits": [
            _bytes(ticket(1)).replace(b'"group_id":null', b'"group_id":0.12345678901234567890123')
        ],
        "float for an integer": [ticket(1, group_id=1.0, brand_id=1.5)],
        "float for the id": [ticket(1, id=1.0)],
        "exponent for an integer": [_bytes(ticket(1)).replace(b'"group_id":null', b'"group_id":1e3')],
        "minus zero": [_bytes(ticket(1)).replace(b'"group_id":null', b'"group_id":-0')],
        "text for an integer": [ticket(1, group_id="12", brand_id="")],
        "integer for a text": [ticket(1, external_id=12, subject=0)],
        "text for a flag": [ticket(1, is_public="true", has_incidents=0)],
        "nested nulls": [ticket(1, via={"channel": None, "source": {"from": {"a": None}, "to": None, "rel": [None]}})],
        "null in lists": [ticket(1, collaborator_ids=[1, None], tags=["a", None])],
        "mixed lists": [ticket(1, collaborator_ids=[1, "2", 3.0], tags=["a", 1, ["b"]])],
        "null for a list": [ticket(1, collaborator_ids=None, tags=None)],
        "object for a text": [ticket(1, subject={"a": 1}, description=["x"])],
        "text for an object": [ticket(1, satisfaction_rating="good", via="web")],
        "emoji": [ticket(1, subject="👩‍👩‍👧‍👦 🏳️‍🌈", tags=["😀"], external_id="é")],
        "unpaired surrogate": [_bytes(ticket(1)).replace(b'"subject":null', b'"subject":"\\ud83d!"')],
        "control characters": [ticket(1, subject="a\x00b\x01\t\r\n\u2028\x7f", external_id="\r")],
        "quotes and commas": [ticket(1, subject='say "hi", \\ then;', external_id='"', recipient=",")],
        "text like a formula or null": [ticket(1, subject="=1+1", external_id="null", recipient="\\N", priority=" ")],
        "empty text and null": [ticket(1, subject="", external_id=None, recipient="")],
        "spaces between tokens": [json.dumps(ticket(1), indent=2).replace("\n", "\r\n").encode()],
        "times in other formats": [
            ticket(
                1,
                created_at="2026-05-28T20:26:40.123Z",
                updated_at="2026-05-28T22:26:40+02:00",
                due_at="2026-05-28",
            )
        ],
        "no time": [ticket(1, created_at="soon", updated_at="2026-02-30T00:00:00Z", due_at=1_780_000_000)],
        "times far away": [ticket(1, created_at="0001-01-01T00:00:00Z", updated_at="9999-12-31T23:59:59Z")],
        "same title, other field": [ticket(1, custom_fields=_fields((11, "a"), (12, "b"), (11, "c")))],
        "renamed and retyped field": [
            ticket(1, custom_fields=_fields((11, "a"), (12, None))),
            ticket(2, custom_fields=_fields((11, True), (12, 1))),
            ticket(3, custom_fields=_fields((11, ["x", "y"]), (12, 1.5), (13, {"a": 1}))),
        ],
        "odd custom fields": [
            ticket(1, custom_fields=None),
            ticket(2, custom_fields=[{"id": "x", "value": 1}, {"id": 5}, 7, {"id": 2**70, "value": "v"}]),
            ticket(3, custom_fields={"11": "a"}),
        ],
        "ticket of 5 MB": [ticket(1, description="é" * 2_500_000)],
        "changed twice": [ticket(1, subject="one"), ticket(2), ticket(1, subject="two")],
        "deleted": [ticket(1), ticket(1, status="deleted")],
        "scrubbed": [
            ticket(1, subject="secret", via={"channel": "email", "source": {"from": _ROBIN}}),
            ticket(1, **_SCRUBBED),
        ],
        "deleted and restored": [ticket(1), ticket(1, status="deleted"), ticket(1, status="open")],
    }.items()
}
