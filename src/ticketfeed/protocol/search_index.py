"""What the search index holds of a stored ticket or record: SearchEntry, made of its row alone.

The texts are split into words here and not by an engine, so that every store finds the same. An entry is made again
from the stored row when it is to be removed, so a change of what this module makes needs a new SEARCH_INDEX_VERSION, at
which stores fill their index anew.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = [
    "INDEXED_KINDS",
    "PRIORITIES",
    "SEARCH_INDEX_VERSION",
    "STATUSES",
    "TICKET_TYPES",
    "SearchEntry",
    "encode_term",
    "index_record",
    "index_ticket",
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


class SearchEntry(NamedTuple):
    """An entry of the index.

    `target_id`: of what it finds: the ticket of an audit or metric set, else its own. Times are Unix seconds; a
    creation that is not known is 0. `status`, `priority` and `ticket_type` are places in their order. `title` to
    `other` are words separated by spaces; `terms` are values of keys.
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


def split_words(text: str, limit: int = 64) -> tuple[str, ...]:
    """The words of a text, in the form in which they are compared."""
    words = _WORD.findall(text.casefold())[:limit]
    return tuple([word[:_WORD_CHARACTERS_MAX] for word in words])


def encode_term(key: str, value: str) -> str:
    """A value of a key as one word of the index; a beginning of the value is a beginning of the word."""
    return f"{key}={_NOT_IN_TERM.sub(_escaped, value.casefold()[:_TERM_CHARACTERS_MAX])}"


class _Ticket(msgspec.Struct):
    """Any type is taken: an entry can be made of whatever is stored."""

    created_at: Any = None
    updated_at: Any = None
    due_at: Any = None
    type: Any = None
    priority: Any = None
    subject: Any = None
    description: Any = None
    requester_id: Any = None
    submitter_id: Any = None
    assignee_id: Any = None
    group_id: Any = None
    organization_id: Any = None
    brand_id: Any = None
    ticket_form_id: Any = None
    custom_status_id: Any = None
    external_id: Any = None
    collaborator_ids: Any = None
    email_cc_ids: Any = None
    tags: Any = None
    via: Any = None
    custom_fields: Any = None


class _Record(msgspec.Struct):
    created_at: Any = None
    updated_at: Any = None
    name: Any = None
    email: Any = None
    phone: Any = None
    role: Any = None
    notes: Any = None
    details: Any = None
    tags: Any = None
    external_id: Any = None
    organization_id: Any = None
    verified: Any = None
    suspended: Any = None
    domain_names: Any = None
    solved_at: Any = None
    author_id: Any = None
    events: Any = None


_TICKET = StoredDecoder(_Ticket)
_RECORD = StoredDecoder(_Record)


def index_ticket(id: int, status: str, body: bytes) -> SearchEntry | None:
    """The entry of a ticket; None if it is deleted."""
    if status == "deleted":
        return None
    ticket = _TICKET.decode(body)
    via = ticket.via.get("channel") if isinstance(ticket.via, dict) else None
    terms = [
        *_terms("assignee", [ticket.assignee_id]),
        *_terms("requester", [ticket.requester_id]),
        *_terms("submitter", [ticket.submitter_id]),
        *_terms("cc", [*_list(ticket.collaborator_ids), *_list(ticket.email_cc_ids)]),
        *_terms("group", [ticket.group_id]),
        *_terms("organization", [ticket.organization_id]),
        *_terms("brand", [ticket.brand_id]),
        *_terms("form", [ticket.ticket_form_id]),
        *_terms("custom_status_id", [ticket.custom_status_id]),
        *_terms("via", [via]),
        *_terms("external_id", [ticket.external_id]),
        *_terms("tags", _list(ticket.tags)),
    ]
    other: list[str] = []
    for custom_field in _list(ticket.custom_fields):
        if isinstance(custom_field, dict):
            values = custom_field.get("value")
            values = values if isinstance(values, list) else [values]
            terms += _terms(f"custom_field_{custom_field.get('id')}", values)
            other += [value for value in values if isinstance(value, str)]
    texts = _texts(title=[ticket.subject], text=[ticket.description], other=other)
    return SearchEntry(
        "tickets",
        id,
        id,
        _second(ticket.created_at) or 0,
        _second(ticket.updated_at),
        _second(ticket.due_at),
        None,
        _place(STATUSES, status),
        _place(PRIORITIES, ticket.priority),
        _place(TICKET_TYPES, ticket.type),
        **texts,
        terms=_joined(terms, texts),
    )


def index_record(row: RecordRow) -> SearchEntry | None:
    """The entry of a record; None if a search has no use for it."""
    if row.kind not in INDEXED_KINDS or row.is_deleted or (row.kind == "audits" and not row.comment_count):
        return None
    record = _RECORD.decode(row.body)
    if row.kind == "ticket_metrics":
        solved_at = _second(record.solved_at)
        return None if solved_at is None else SearchEntry(row.kind, row.id, row.id, solved_at=solved_at)
    if row.kind == "audits":
        return _index_comments(row, record)
    other = [record.email, record.phone, *_list(record.domain_names)]
    texts = _texts(title=[record.name], text=[record.details], notes=[record.notes], other=other)
    terms = [
        *_terms("name", [record.name]),
        *_terms("email", [record.email]),
        *_terms("phone", [record.phone]),
        *_terms("role", [record.role]),
        *_terms("organization", [record.organization_id]),
        *_terms("external_id", [record.external_id]),
        *_terms("tags", _list(record.tags)),
        *_flags("is_verified", record.verified),
        *_flags("is_suspended", record.suspended),
    ]
    return SearchEntry(
        row.kind,
        row.id,
        row.id,
        _second(record.created_at) or 0,
        _second(record.updated_at),
        **texts,
        terms=_joined(terms, texts),
    )


def _index_comments(row: RecordRow, audit: _Record) -> SearchEntry:
    comments = [event for event in _list(audit.events) if isinstance(event, dict) and event.get("type") == "Comment"]
    bodies = [event.get("body") for event in comments]
    authors = [event.get("author_id") or audit.author_id for event in comments]
    terms = [*_terms("commenter", authors), *_terms("has", ["comment"])]
    if any(_list(event.get("attachments")) for event in comments):
        terms += _terms("has", ["attachment"])
    ticket_id = row.id if row.ticket_id is None else row.ticket_id
    return SearchEntry(row.kind, row.id, ticket_id, **_texts(text=bodies), terms=_joined(terms, {}))


def _texts(**fields: list[Any]) -> dict[str, Any]:
    """The words of each field that has any. After a field's end no phrase goes on, as the stores keep them apart."""
    texts = {}
    for name, values in fields.items():
        whole = " ".join([value for value in values if isinstance(value, str)])
        if whole:
            texts[name] = " ".join(_limited(split_words(whole, _WORDS_MAX[name])))
    return texts


def _limited(words: tuple[str, ...]) -> Iterable[str]:
    if len(words) <= _REPEATS_MAX:
        return words
    return _without_repeats(words)


def _without_repeats(words: tuple[str, ...]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = count = counts.get(word, 0) + 1
        yield word if count <= _REPEATS_MAX else _REPEATED


def _terms(key: str, values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, bool):
            yield encode_term(key, "true" if value else "false")
        elif (isinstance(value, str) and value) or isinstance(value, int | float):
            yield encode_term(key, str(value))


def _flags(key: str, value: Any) -> Iterator[str]:
    return _terms(key, [value] if isinstance(value, bool) else [])


def _joined(terms: list[str], texts: dict[str, Any]) -> str:
    terms += [encode_term("has", name) for name in texts]
    return " ".join(dict.fromkeys(terms[:_TERMS_MAX]))


def _escaped(match: re.Match[str]) -> str:
    return f"_{ord(match[0]):x}_"


def _list(values: Any) -> list[Any]:
    return values if isinstance(values, list) else []


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
