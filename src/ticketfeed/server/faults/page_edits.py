"""Changes to the JSON of an answer: what a scenario puts in place of a cursor, an end of the stream, or the records."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ticketfeed.protocol.consumers import Served
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.model import Position
from ticketfeed.protocol.scenarios import PageEdit

__all__ = ["edit_page", "records_key", "without_keys"]

Page = dict[str, Any]
_CURSORS, _URLS = ("after_cursor", "before_cursor"), ("after_url", "before_url", "next_page")


def records_key(page: Mapping[str, Any], served: Served) -> str | None:
    """The key of the page's records: the array that is not a sideload."""
    arrays = [key for key, value in page.items() if isinstance(value, list)]
    named = served.kind if served.kind in page else None
    return named or (arrays[0] if arrays else None)


def edit_page(
    page: Page, edit: PageEdit, served: Served, asked: Mapping[str, str], before: Sequence[object], number: int
) -> Served | None:
    """Change a page in place; returns what it gives its reader then.

    `asked`: the query of the request. `before`: the records of the page before. `number`: of the firing; makes each
    cursor of an empty page another one.
    """
    key = records_key(page, served)
    if edit.records == "none" and key is not None:
        page[key] = []
        if "count" in page:
            page["count"] = 0
        _go_on_from(page, served.after, number)
        page["end_of_stream"] = False
        served = served._replace(rows=0, end=served.after, end_of_stream=False)
    elif edit.records == "repeat" and key is not None:
        page[key] = [*before, *page[key]]
        if "count" in page:
            page["count"] = len(page[key])
    if edit.cursor == "stuck":
        _point_to_itself(page, served.after, asked)
    elif edit.cursor is not None:
        _remove(page, (*_CURSORS, *_URLS, "end_time"), is_null=edit.cursor == "null")
    if edit.after_url == "without_host":
        for name in _URLS:
            if page.get(name):
                page[name] = urlunsplit(("", "", *urlsplit(page[name])[2:]))
    elif edit.after_url is not None:
        _remove(page, ("after_url", "next_page"), is_null=edit.after_url == "null")
    if edit.end_of_stream == "missing":
        page.pop("end_of_stream", None)
    elif edit.end_of_stream is not None:
        page["end_of_stream"] = edit.end_of_stream
    return served


def without_keys(page: Page, names: Iterable[str]) -> None:
    """Remove keys of an object in place."""
    for name in names:
        page.pop(name, None)


def _remove(page: Page, names: Iterable[str], *, is_null: bool) -> None:
    for name in names:
        if name in page and is_null:
            page[name] = None
        else:
            page.pop(name, None)


def _go_on_from(page: Page, after: Position, number: int) -> None:
    """Let an empty page be followed by the records behind `after`, with a cursor that was not sent before."""
    if "after_cursor" not in page:  # time-based: the same start_time again
        _point_to_itself(page, after, {})
        return
    # A fraction of the second makes no difference to where a cursor is, and another text of it.
    plain = Position(after.generated_timestamp - 1, 2**63 - 1) if after.id < 0 else after
    cursor = b64encode(b"%d.%d||%d|" % (plain.generated_timestamp, number, plain.id)).decode("ascii")
    _set_cursor(page, cursor)


def _point_to_itself(page: Page, after: Position, asked: Mapping[str, str]) -> None:
    if "after_cursor" in page:
        _set_cursor(page, asked.get("cursor") or encode_cursor(after))
    if "end_time" in page:
        page["end_time"] = after.generated_timestamp
        if page.get("next_page"):
            page["next_page"] = _with_parameter(page["next_page"], "start_time", str(after.generated_timestamp))


def _set_cursor(page: Page, cursor: str) -> None:
    page["after_cursor"] = cursor
    if page.get("after_url"):
        page["after_url"] = _with_parameter(page["after_url"], "cursor", cursor)


def _with_parameter(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    parameters = [(key, value if key == name else text) for key, text in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(parameters)))
