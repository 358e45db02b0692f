"""Find the records in a JSON value: a record, a saved page, or a single record under its name.

What a record is follows from the value itself: the key of a page, or its `url`. A value that
contradicts what was asked for, and a key that is not understood, are errors: nothing is left out without a word.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.history_input import audit_of_comment, audit_of_ticket_event, split_comments
from ticketfeed.protocol.records import encode, split_record
from ticketfeed.protocol.resources import PAGE_KEYS, RESOURCES, SEARCH_TYPES
from ticketfeed.protocol.shapes import TICKET_SHAPE

__all__ = ["LIST_KEYS", "InputRecord", "PageReader", "find_records"]


class InputRecord(NamedTuple):
    """A record of a file. `where`: file and line, for messages. `data`: its JSON; empty when there is an `error`.

    `is_partial`: an audit made of a comment or ticket event, which does not replace one that says more.
    """

    where: tuple[str, int]
    kind: str
    data: bytes
    error: BadRecord | None = None
    is_partial: bool = False


Where = tuple[str, int]
# What is read in its own way: search results of several kinds, and two forms of the history of tickets.
_RESULTS, _EVENTS, _COMMENTS = "results", "ticket_events", "comments"
# The keys of a page that hold lists of records.
LIST_KEYS = {*PAGE_KEYS, "ticket_audits", _RESULTS, _EVENTS, _COMMENTS}
_KINDS = {**PAGE_KEYS, "ticket_audits": "audits"}
_SINGULARS = {"ticket": "tickets"} | {row.singular: row.kind for row in RESOURCES.values()}
# The keys of a record with records of another kind inside, as sideloads and exports of accounts have them -> that kind,
# and its key for the record that they are in.
_EMBEDDED = {
    "tickets": {"audits": ("audits", "ticket_id"), "metric_events": ("ticket_metric_events", "ticket_id")},
    "users": {"identities": ("identities", "user_id")},
}
# The keys of a page that say where it stands among others.
_PAGING_KEYS = (
    *("count", "next_page", "previous_page", "page", "per_page", "end_time", "end_of_stream", "meta", "links"),
    *("after_url", "before_url", "after_cursor", "before_cursor", "facets"),
)
# The types of connectors' messages -> the key that those of Airbyte have their content under.
_AIRBYTE_KEYS = {
    "RECORD": "record",
    "STATE": "state",
    "LOG": "log",
    "TRACE": "trace",
    "SPEC": "spec",
    "CATALOG": "catalog",
    "CONNECTION_STATUS": "connectionStatus",
    "CONTROL": "control",
}
_MESSAGE_TYPES = {*_AIRBYTE_KEYS, "SCHEMA", "BATCH", "ACTIVATE_VERSION"}
_SHAPES = {"tickets": TICKET_SHAPE.keys()} | {kind: row.shape.keys() for kind, row in RESOURCES.items()}
# How many keys of another kind speak against a kind that was asked for; one or two may be a person's own.
_KEYS_MIN = 3
_SHARED_KEYS = frozenset({"id", "url", "created_at", "updated_at"})
_PATHS = {"tickets": "tickets", "end_users": "users"} | {
    row.path.rpartition("}")[2].removeprefix("/"): kind for kind, row in RESOURCES.items()
}
# Paths with the id of whom the record belongs to, such as /users/{user_id}/identities.
_OWNED = "|".join(re.sub(r"\{\w+\}", "[0-9]+", row.path[1:]) for row in RESOURCES.values() if "{" in row.path)
_URL = re.compile(rf"https?://[^/]+/api/v2/([a-z_/]+|{_OWNED})/[0-9]+(?:\.json)?(?:[?#].*)?")
_COMMENTS_URL = re.compile(rb"/tickets/([0-9]+)/comments")


def find_records(where: Where, data: bytes, kind: str | None) -> Iterator[InputRecord]:
    """The records of one JSON value. `kind`: of a record that does not say what it is; None for what it looks like."""
    try:
        if data[:1] == b"[":
            for item in _items(data):
                yield from find_records(where, item, kind)
            return
        values = split_record(data)
        if "id" in values:
            yield from _single(where, values, data, kind)
        elif _is_page(values):
            yield from _page(where, values)
        else:
            _refuse_message(values)
            names = ", ".join(list(values)[:5])
            raise BadRecord(f"Object missing required field `id`{f'; its keys are: {names}' if names else ''}")
    except BadRecord as error:
        yield InputRecord(where, kind or "tickets", b"", error)


class PageReader:
    """A page that is read key by key."""

    def __init__(self) -> None:
        self._comments: list[tuple[Where, dict[str, Raw]]] = []

    def item(self, where: Where, key: str, data: bytes) -> Iterator[InputRecord]:
        """The records of one item of the list under `key`."""
        try:
            values = split_record(data)
            if key == _RESULTS:
                yield from _result(where, values)
            elif key == _EVENTS:
                yield InputRecord(where, "audits", audit_of_ticket_event(data), is_partial=True)
            elif key == _COMMENTS and "ticket_id" not in values:
                self._comments.append((where, values))
            elif key == _COMMENTS:
                yield _comment(where, values)
            else:
                yield from _single(where, values, data, _KINDS[key], in_page=True)
        except BadRecord as error:
            yield InputRecord(where, _KINDS.get(key, "audits"), b"", error)

    def rest(self, where: Where, values: Mapping[str, Raw]) -> Iterator[InputRecord]:
        """What the other keys of the page say, once all its items were read."""
        for key, value in values.items():
            if key in _PAGING_KEYS or bytes(value) == b"null":
                continue
            if key in _SINGULARS and _first(value) == b"{":
                yield from self.item(where, _SINGULARS[key], bytes(value))
            else:
                error = BadRecord(f"the key {_shown(key)} is not understood - at `$.{_shown(key)}`")
                yield InputRecord(where, "tickets", b"", error)
        ticket_id = self._ticket_of_comments(values)
        for place, comment in self._comments:
            if ticket_id is None:
                error = BadRecord("nothing says which ticket this comment belongs to; add a ticket_id to it")
                yield InputRecord(place, "audits", b"", error)
            else:
                yield _comment(place, comment, ticket_id)

    def _ticket_of_comments(self, values: Mapping[str, Raw]) -> Raw | None:
        if not self._comments:
            return None
        if "ticket" in values:
            return split_record(bytes(values["ticket"])).get("id")
        for key in ("next_page", "previous_page", "links"):
            match = _COMMENTS_URL.search(bytes(values.get(key, b"")).replace(b"\\/", b"/"))
            if match:
                return Raw(match[1])
        return None


def _page(where: Where, values: Mapping[str, Raw]) -> Iterator[InputRecord]:
    page, others = PageReader(), dict[str, Raw]()
    for key, value in values.items():
        if key in LIST_KEYS and _first(value) == b"[":
            for item in _items(bytes(value)):
                yield from page.item(where, key, item)
        else:
            others[key] = value
    yield from page.rest(where, others)


def _is_page(values: Mapping[str, Raw]) -> bool:
    return any(
        (key in LIST_KEYS and _first(value) == b"[") or (key in _SINGULARS and _first(value) == b"{")
        for key, value in values.items()
    )


def _single(
    where: Where, values: dict[str, Raw], data: bytes, kind: str | None, *, in_page: bool = False
) -> Iterator[InputRecord]:
    """A record by itself, or in a page of its kind. Raises BadRecord."""
    if kind is None and "child_events" in values:
        yield InputRecord(where, "audits", audit_of_ticket_event(data), is_partial=True)
        return
    if kind is None and values.keys() >= {"body", "author_id"}:
        if "ticket_id" not in values:
            raise BadRecord("this is a comment, and nothing says which ticket it belongs to; add a ticket_id to it")
        yield _comment(where, values)
        return
    kind = _kind_of(values, kind, in_page)
    comments = split_comments(values) if kind == "tickets" else None
    if comments is not None:
        del values["comments"]
    others = _split_embedded(kind, values)
    is_whole = comments is None and others is None
    yield InputRecord(where, kind, data if is_whole else encode(values))
    for comment in comments or ():
        yield _comment(where, comment, values["id"], values.get("created_at"))
    for of_kind, record in others or ():
        yield InputRecord(where, of_kind, encode(record))


def _split_embedded(kind: str, values: dict[str, Raw]) -> list[tuple[str, dict[str, Raw]]] | None:
    """The records of other kinds inside a record, with their kinds; None if there are no such keys."""
    found: list[tuple[str, dict[str, Raw]]] | None = None
    for key, (of_kind, owner) in _EMBEDDED.get(kind, {}).items():
        records = _objects(bytes(values.get(key, b"")))
        if records is not None:
            del values[key]
            found = [*(found or ()), *((of_kind, {owner: values["id"], **record}) for record in records)]
    return found


def _objects(data: bytes) -> list[dict[str, Raw]] | None:
    """The objects of an array, or of the arrays under the keys of an object; None for any other value."""
    try:
        if data[:1] == b"[":
            return msgspec.json.decode(data, type=list[dict[str, Raw]])
        if data[:1] == b"{":
            arrays = msgspec.json.decode(data, type=dict[str, list[dict[str, Raw]]])
            return [record for array in arrays.values() for record in array]
    except msgspec.ValidationError:
        pass
    return None


def _comment(
    where: Where, comment: dict[str, Raw], ticket_id: Raw | None = None, created_at: Raw | None = None
) -> InputRecord:
    """The audit of a comment. Raises BadRecord."""
    audit = audit_of_comment(comment, comment.get("ticket_id", ticket_id) or Raw(b"null"), created_at)
    return InputRecord(where, "audits", audit, is_partial=True)


def _result(where: Where, values: dict[str, Raw]) -> Iterator[InputRecord]:
    result_type = _text(values.pop("result_type", None))
    kind = SEARCH_TYPES.get(result_type) if result_type else None
    if result_type and kind is None:
        raise BadRecord(f"the result_type {_shown(result_type)} is not understood - at `$.result_type`")
    yield from _single(where, values, encode(values), kind)


def _refuse_message(values: Mapping[str, Raw]) -> None:
    """Raises BadRecord for a message of a Singer tap or an Airbyte source, and for a row of an Airbyte table."""
    if "_airbyte_data" in values:
        raise BadRecord("this is a row of a raw table of Airbyte; load what is under its key _airbyte_data")
    type_ = _text(values.get("type"))
    if type_ is None or type_ not in _MESSAGE_TYPES:
        return
    is_airbyte = "stream" not in values and _AIRBYTE_KEYS.get(type_) in values
    maker, key = ("an Airbyte", "record.data") if is_airbyte else ("a Singer", "record")
    raise BadRecord(f"this is {maker} message of the type {type_}; load what its RECORD messages have under {key}")


def _kind_of(values: Mapping[str, Raw], kind: str | None, in_page: bool) -> str:
    """What a record is, by its url, what was asked for, and its keys. Raises BadRecord where these contradict."""
    match = _URL.fullmatch(_text(values.get("url")) or "")
    path = match[1] if match else None
    named = _PATHS.get(path or "") or _PATHS.get((path or "").rpartition("/")[2])
    if named is not None:
        if kind is not None and kind != named:
            raise BadRecord(f"its url says that it is one of {named}, not of {kind} - at `$.url`")
        return named
    if path is not None and kind is None:
        raise BadRecord(f"its url names {path}, which cannot be loaded - at `$.url`")
    likely = None if in_page else _likely_kind(tuple(values), kind or "tickets", 1 if kind is None else _KEYS_MIN)
    if likely is not None:
        keys = ", ".join(sorted(values.keys() & _SHAPES[likely] - _SHAPES[kind or "tickets"])[:5])
        asked = f"it was loaded as {kind}" if kind else "nothing says so"
        raise BadRecord(f"it looks like one of {likely} ({keys}), but {asked}; if it is, use --kind {likely}")
    return kind or "tickets"


@lru_cache(1000)  # the records of a file have few different sets of keys
def _likely_kind(keys: tuple[str, ...], kind: str, keys_min: int) -> str | None:
    """The kind that has more than twice as many of these keys as `kind`, and `keys_min`; None if there is none."""
    own = set(keys) - _SHARED_KEYS
    matched = {name: len(own & shape) for name, shape in _SHAPES.items()}
    likely = max(matched, key=matched.__getitem__)
    return likely if matched[likely] >= max(keys_min, 2 * matched[kind] + 1) else None


def _items(data: bytes) -> list[bytes]:
    """The items of a JSON array. Raises BadRecord."""
    try:
        data.decode("utf-8")
        return [bytes(item) for item in msgspec.json.decode(data, type=list[Raw])]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRecord(f"not valid JSON: {error}") from None


def _first(value: Raw) -> bytes:
    return bytes(value)[:1]


def _text(value: Raw | None) -> str | None:
    """A JSON text as Python's; None for any other value."""
    if value is None or _first(value) != b'"':
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError:
        return None


def _shown(text: str) -> str:
    return text if text.isprintable() and len(text) <= 60 else ascii(text[:60])
