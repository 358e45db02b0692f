"""Query string -> ExportRequest or SpanRequest. Nothing is validated again after this module.

Rules of the wire: an empty value and the literal `undefined` count as absent, the last of several values of one
parameter wins, `cursor` takes precedence over `start_time`, `per_page` is clamped to 1000, unknown parameters are
ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args
from urllib.parse import parse_qsl

from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.errors import InvalidValue, ParameterMissing, StartTimeTooRecent
from ticketfeed.protocol.model import INT64_MAX, Filters, Position, SupportTypeScope

__all__ = [
    "PAGE_LIMIT_MAX",
    "ExportRequest",
    "SpanRequest",
    "parse_export_request",
    "parse_filters",
    "parse_include",
    "parse_integer",
    "parse_query",
    "parse_scope",
    "parse_span_request",
]

PAGE_LIMIT_MAX = 1000

# The parameters that the URL of the next page repeats, in alphabetical order, as on the wire; `cursor` comes first.
REPEATED_PARAMETERS = ("exclude_deleted", "include", "per_page", "support_type_scope")

_DECIMAL = re.compile(r"([0-9]+)(?:\.[0-9]*)?")
_INTEGER = re.compile(r"[0-9]+")
_TRUE = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A request for one page: everything strictly after `after`, at most `page_limit` tickets.

    `include` holds the sideload names in the requested order, each once. `repeated` are the parameters, as sent, that
    the URL of the next page repeats.
    """

    after: Position
    page_limit: int
    filters: Filters
    include: tuple[str, ...]
    repeated: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SpanRequest:
    """A request for one page of a time-based export: everything from `start_time` on. The rest as in ExportRequest."""

    start_time: int
    page_limit: int
    filters: Filters
    include: tuple[str, ...]
    repeated: tuple[tuple[str, str], ...]


def parse_query(query: str) -> dict[str, str]:
    """The parameters that are present: the last of several wins, then empty and `undefined` ones are dropped.

    A name that ends in `[]` is a list: its values are joined by commas.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    parameters = dict(pairs)
    for list_name in {name for name in parameters if name.endswith("[]")}:
        parameters[list_name] = ",".join(text for name, text in pairs if name == list_name and text)
    return {name: text for name, text in parameters.items() if text not in ("", "undefined")}


def parse_export_request(parameters: Mapping[str, str], *, now: int, start_time_margin_seconds: int) -> ExportRequest:
    """Validate the result of `parse_query`. A margin of 0 allows any start_time.

    Raises InvalidCursor, InvalidValue, ParameterMissing, StartTimeTooRecent.
    """
    return ExportRequest(_parse_after(parameters, now, start_time_margin_seconds), *_parse_rest(parameters))


def parse_span_request(parameters: Mapping[str, str], *, now: int, start_time_margin_seconds: int) -> SpanRequest:
    """As `parse_export_request`, for the time-based exports, which have no cursor.

    Their own `next_page` may name a time one second newer than the newest that is exported. Only the leading digits of
    `start_time` count: tap-zendesk requests organizations since `2026-01-31T12:00:00Z`, and gets an answer.
    """
    margin, text = max(0, start_time_margin_seconds - 1), parameters.get("start_time", "").strip()
    if leading := _INTEGER.match(text):
        parameters = {**parameters, "start_time": leading[0]}
    return SpanRequest(_parse_start_time(parameters, now, margin), *_parse_rest(parameters))


def _parse_rest(parameters: Mapping[str, str]) -> tuple[int, Filters, tuple[str, ...], tuple[tuple[str, str], ...]]:
    filters = parse_filters(parameters)
    repeated = tuple((name, parameters[name]) for name in REPEATED_PARAMETERS if name in parameters)
    return (
        _parse_page_limit(parameters.get("per_page")),
        filters,
        parse_include(parameters.get("include", "")),
        repeated,
    )


def parse_filters(parameters: Mapping[str, str]) -> Filters:
    """The filters of a request for tickets. Raises InvalidValue."""
    return Filters(
        exclude_deleted=parameters.get("exclude_deleted", "").strip().lower() in _TRUE,
        support_type_scope=parse_scope(parameters.get("support_type_scope")),
    )


def _parse_after(parameters: Mapping[str, str], now: int, margin_seconds: int) -> Position:
    if "cursor" in parameters:
        return decode_cursor(parameters["cursor"])
    # start_time is inclusive. No ticket id is below 0, so this position is just before the first ticket of that second.
    return Position(_parse_start_time(parameters, now, margin_seconds), -1)


def _parse_start_time(parameters: Mapping[str, str], now: int, margin_seconds: int) -> int:
    if "start_time" not in parameters:
        raise ParameterMissing("start_time")
    match = _DECIMAL.fullmatch(parameters["start_time"].strip())
    if match is None:
        raise InvalidValue("start_time must be a time in Unix seconds")
    start_time = _bounded_int(match[1])
    if margin_seconds and start_time > now - margin_seconds:
        raise StartTimeTooRecent(margin_seconds)
    if start_time == INT64_MAX:  # or beyond, where no store can look
        raise InvalidValue("start_time must be a time in Unix seconds")
    return start_time


def _parse_page_limit(text: str | None) -> int:
    if text is None:
        return PAGE_LIMIT_MAX
    limit = parse_integer(text)
    if limit is None or limit < 1:
        raise InvalidValue(f"per_page must be a whole number from 1 to {PAGE_LIMIT_MAX}")
    return min(limit, PAGE_LIMIT_MAX)


def parse_scope(text: str | None) -> SupportTypeScope:
    """The value of `support_type_scope`; by default tickets handled by agents. Raises InvalidValue."""
    if text is None:
        return "agent"
    if text not in get_args(SupportTypeScope):
        raise InvalidValue("support_type_scope must be one of all, agent, ai_agent")
    return cast(SupportTypeScope, text)


def parse_include(text: str) -> tuple[str, ...]:
    """Names of sideloads, in the requested order, each once."""
    names = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def parse_integer(text: str) -> int | None:
    """A non-negative whole number, clamped to 64 bits; None if the text is not one."""
    return _bounded_int(text.strip()) if _INTEGER.fullmatch(text.strip()) else None


def _bounded_int(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return min(int(digits), INT64_MAX) if len(digits) < 20 else INT64_MAX
