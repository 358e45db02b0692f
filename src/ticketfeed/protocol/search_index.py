"""What the search index holds of a stored ticket or record: SearchEntry, made of its row alone.

The texts are split into words here and not by an engine, so that every store finds the same. An entry is made again
from the stored row when it is to be removed, so a change of what this module makes needs a new SEARCH_INDEX_VERSION, at
which stores fill their index anew.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.record_types import COMMENT_TYPES
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = [
    "INDEXED_KINDS",
    "PRIORITIES",
    "SEARCH_INDEX_VERSION",
    "STATUSES",
    "TICKET_TYPES",
    "WORDLESS_KINDS",
    "IndexedRow",
    "SearchEntry",
    "encode_term",
    "index_rows",
    "indexed_record",
    "indexed_ticket",
    "split_words",
]

SEARCH_INDEX_VERSION = 1

# In their order. A value that is none of them meets no condition on it; a deleted ticket is not found.
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent")
TICKET_TYPES = ("question", "incident", "problem", "task")
# Kinds of records that have entries: those that are searched, those that are given by name, and what belongs to
# tickets: comments, and the time of solution.
INDEXED_KINDS = frozenset({"users", "organizations", "groups", "brands", "ticket_forms", "audits", "ticket_metrics"})
# Those whose entries are numbers alone.
WORDLESS_KINDS = frozenset({"ticket_metrics"})

# PostgreSQL's tsvector holds 1 MB in all, 255 places of a word, and places up to 16383; these keep all entries below.
_WORDS_MAX = {"title": 200, "text": 1500, "notes": 500, "other": 500}
_WORD_CHARACTERS_MAX = 64
_REPEATS_MAX = 250
_TERMS_MAX = 400
_TERM_CHARACTERS_MAX = 200
# Stands for a word that is repeated too often; no query has it.
_REPEATED = "_"

# Scripts without spaces are split into characters, which a query then finds as a phrase.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_NOT_IN_TERM = re.compile(r"[\W_]")
# What is part of no word becomes a space: for text of Latin letters alone in a third of the time that _WORD takes.
_SPACED = bytes(code if re.fullmatch(r"[^\W_]", chr(code)) else ord(" ") for code in range(256))


class SearchEntry(NamedTuple):
    """An entry of the index.

    `target_id`: of what it finds: the ticket of an audit or metric set, else its own. Times are Unix seconds; a
    creation that is not known is 0. `status`, `priority` and `ticket_type` are places in their order. `title` to
    `other` are words between spaces; `terms` are values of keys.
    """

    kind: str
    id: int
    target_id: int
    created_at: int = 0
    updated_at: int | None = None
    due_at: int | None = None
    solved_at: int | None = None
    status: int | None = None
    priority: int | None = None
    ticket_type: int | None = None
    title: str = ""
    text: str = ""
    notes: str = ""
    other: str = ""
    terms: str = ""


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text, in the form in which they are compared."""
    return tuple(_limited(_spaced(text), 64))


def encode_term(key: str, value: str) -> str:
    """A value of a key as one word of the index; a beginning of the value is a beginning of the word."""
    return f"{key}={_encoded(value)}"


@lru_cache(4096)  # tags and options are repeated
def _encoded(value: str) -> str:
    return _NOT_IN_TERM.sub(_escaped, value.casefold()[:_TERM_CHARACTERS_MAX])


class IndexedRow(NamedTuple):
    """What an entry is made of: columns of a stored ticket or record. `status` is that of a ticket."""

    kind: str
    id: int
    body: bytes
    ticket_id: int | None = None
    status: str = ""


def indexed_ticket(id: int, status: str, body: bytes) -> IndexedRow | None:
    """What the entry of a ticket is made of; None if it is deleted."""
    return None if status == "deleted" else IndexedRow("tickets", id, body, status=status)


def indexed_record(row: RecordRow) -> IndexedRow | None:
    """What the entry of a record is made of; None if a search has no use for it."""
    if row.kind not in INDEXED_KINDS or row.is_deleted or (row.kind == "audits" and not row.comment_count):
        return None
    return IndexedRow(row.kind, row.id, row.body, row.ticket_id)


class _Value(msgspec.Struct, gc=False):
    id: Any = None
    value: Any = None


class _Via(msgspec.Struct, gc=False):
    channel: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    author_id: Any = None
    body: Any = None
    attachments: Any = None


class _Values(msgspec.Struct):
    """The keys of all kinds, so that rows of any are decoded at once.

    What is in them may have any type, as an entry can be made of whatever is stored.
    """

    external_id: Any = None
    via: _Via | None = None
    created_at: Any = None
    updated_at: Any = None
    type: Any = None
    subject: Any = None
    description: Any = None
    priority: Any = None
    requester_id: Any = None
    submitter_id: Any = None
    assignee_id: Any = None
    organization_id: Any = None
    group_id: Any = None
    collaborator_ids: list[Any] | None = None
    email_cc_ids: list[Any] | None = None
    due_at: Any = None
    tags: list[Any] | None = None
    custom_fields: list[_Value] | None = None
    custom_status_id: Any = None
    ticket_form_id: Any = None
    brand_id: Any = None
    name: Any = None
    email: Any = None
    phone: Any = None
    role: Any = None
    notes: Any = None
    details: Any = None
    verified: Any = None
    suspended: Any = None
    domain_names: list[Any] | None = None
    solved_at: Any = None
    author_id: Any = None
    events: list[_Event] | None = None


_VALUES = StoredDecoder(_Values)


def index_rows(rows: Sequence[IndexedRow]) -> list[SearchEntry | None]:
    """The entry of each row, made of one decoding of all; None if there is nothing to find it by."""
    decoded = _VALUES.decode_all([row.body for row in rows])
    return [_INDEX.get(row.kind, _index_named)(row, values) for row, values in zip(rows, decoded, strict=True)]


def _index_ticket(row: IndexedRow, ticket: _Values) -> SearchEntry:
    terms: list[str] = []
    for key, value in (
        ("assignee", ticket.assignee_id),
        ("requester", ticket.requester_id),
        ("submitter", ticket.submitter_id),
        ("group", ticket.group_id),
        ("organization", ticket.organization_id),
        ("brand", ticket.brand_id),
        ("form", ticket.ticket_form_id),
        ("custom_status_id", ticket.custom_status_id),
        ("ticket_type", ticket.type),
        ("external_id", ticket.external_id),
        ("via", ticket.via and ticket.via.channel),
    ):
        if value is not None:
            terms += _term(key, value)
    for key, values in (("cc", ticket.collaborator_ids), ("cc", ticket.email_cc_ids), ("tags", ticket.tags)):
        for value in values or ():
            terms += _term(key, value)
    other: list[str] = []
    for custom_field in ticket.custom_fields or ():
        value = custom_field.value
        if value is not None:
            key = f"custom_field_{custom_field.id}"
            for each in value if isinstance(value, list) else (value,):
                terms += _term(key, each)
                if isinstance(each, str):
                    other.append(each)
    return SearchEntry(
        "tickets",
        row.id,
        row.id,
        _second(ticket.created_at) or 0,
        _second(ticket.updated_at),
        _second(ticket.due_at),
        None,
        _place(STATUSES, row.status),
        _place(PRIORITIES, ticket.priority),
        _place(TICKET_TYPES, ticket.type),
        *_texts(terms, ticket.subject, ticket.description, None, other),
    )


def _index_comments(row: IndexedRow, audit: _Values) -> SearchEntry:
    bodies: list[str] = []
    terms = ["has=comment"]
    for event in audit.events or ():
        if event.type in COMMENT_TYPES:
            terms += _term("commenter", event.author_id or audit.author_id)
            if isinstance(event.body, str):
                bodies.append(event.body)
            if event.attachments and isinstance(event.attachments, list):
                terms.append("has=attachment")
    ticket_id = row.id if row.ticket_id is None else row.ticket_id
    return SearchEntry(row.kind, row.id, ticket_id, text=_text("text", " ".join(bodies)), terms=_joined(terms))


def _index_solution(row: IndexedRow, metric_set: _Values) -> SearchEntry | None:
    solved_at = _second(metric_set.solved_at)
    return None if solved_at is None else SearchEntry(row.kind, row.id, row.id, solved_at=solved_at)


def _index_named(row: IndexedRow, record: _Values) -> SearchEntry:
    terms = [
        *_term("name", record.name),
        *_term("email", record.email),
        *_term("phone", record.phone),
        *_term("role", record.role),
        *_term("organization", record.organization_id),
        *_term("external_id", record.external_id),
        *(term for value in record.tags or () for term in _term("tags", value)),
        *_flag("is_verified", record.verified),
        *_flag("is_suspended", record.suspended),
    ]
    other = [value for value in (record.email, record.phone, *(record.domain_names or ())) if isinstance(value, str)]
    return SearchEntry(
        row.kind,
        row.id,
        row.id,
        _second(record.created_at) or 0,
        _second(record.updated_at),
        None,
        None,
        None,
        None,
        None,
        *_texts(terms, record.name, record.details, record.notes, other),
    )


_INDEX = {"tickets": _index_ticket, "audits": _index_comments, "ticket_metrics": _index_solution}
_TEXTS = ("title", "text", "notes", "other", "terms")


def _texts(terms: list[str], title: Any, text: Any, notes: Any, other: list[str]) -> tuple[str, ...]:
    """The last columns of an entry. After a field's end no phrase goes on, as the stores keep them apart."""
    values = (title, text, notes, " ".join(other))
    terms += [f"has={name}" for name, value in zip(_TEXTS, values, strict=False) if value and isinstance(value, str)]
    return (*map(_text, _TEXTS, values), _joined(terms))


def _text(name: str, value: Any) -> str:
    """The words of a field."""
    if not value or not isinstance(value, str):
        return ""
    text = _spaced(value)
    if len(text) <= 2 * _REPEATS_MAX and not _has_long_word(text):  # too short for any of the other limits
        return text
    words = _limited(text, _WORDS_MAX[name])
    return " ".join(words if len(words) <= _REPEATS_MAX else _without_repeats(words))


def _spaced(text: str) -> str:
    """The words of a text with spaces between them."""
    text = text.casefold()
    try:
        return text.encode("latin-1").translate(_SPACED).decode("latin-1")
    except UnicodeEncodeError:
        return " ".join(_WORD.findall(text))


def _has_long_word(text: str) -> bool:
    start = 0
    while len(text) - start > _WORD_CHARACTERS_MAX:
        start = text.rfind(" ", start, start + _WORD_CHARACTERS_MAX + 1) + 1
        if not start:
            return True
    return False


def _limited(text: str, limit: int) -> list[str]:
    return [word[:_WORD_CHARACTERS_MAX] for word in text.split()[:limit]]


def _without_repeats(words: Iterable[str]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = count = counts.get(word, 0) + 1
        yield word if count <= _REPEATS_MAX else _REPEATED


def _term(key: str, value: Any) -> tuple[str, ...]:
    """The term of a value that can be searched for."""
    if isinstance(value, bool):
        return (f"{key}={'true' if value else 'false'}",)
    if isinstance(value, int) and value >= 0:
        return (f"{key}={value}",)
    if (isinstance(value, str) and value) or isinstance(value, int | float):
        return (encode_term(key, str(value)),)
    return ()


def _flag(key: str, value: Any) -> tuple[str, ...]:
    return _term(key, value) if isinstance(value, bool) else ()


def _joined(terms: list[str]) -> str:
    return " ".join(dict.fromkeys(terms[:_TERMS_MAX]))


def _escaped(match: re.Match[str]) -> str:
    return f"_{ord(match[0]):x}_"


def _place(names: tuple[str, ...], value: Any) -> int | None:
    return names.index(value) if value in names else None


def _second(text: Any) -> int | None:
    """Times are stored in the form of the wire; what is in no form of a time is not found by it."""
    if not isinstance(text, str):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None
