"""The older pagination of /ticket_audits: `limit` and `cursor`, from the newest audits back in time.

A cursor that leads back is `|SECOND.0||ID` in Base64, one that leads forward `SECOND.0||ID|`. An address is null where
there are no more audits.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.errors import InvalidCursor, InvalidValue
from ticketfeed.protocol.model import INT64_MAX, Slice
from ticketfeed.protocol.paging import count_page_rows
from ticketfeed.protocol.query import parse_integer
from ticketfeed.protocol.rows import ListRow

__all__ = ["AUDITS_LIMIT_MAX", "AuditPageRequest", "paginate_audits", "parse_audit_page_request"]

AUDITS_LIMIT_MAX = 1000
_CURSOR = re.compile(r"(\|?)[0-9]{1,20}(?:\.[0-9]{1,9})?\|\|([0-9]{1,19})(\|?)")


class _Created(msgspec.Struct):
    created_at: datetime


_CREATED = msgspec.json.Decoder(_Created)


@dataclass(frozen=True, slots=True)
class AuditPageRequest:
    """One page. `part`: what to read, one more than `limit`. `forwards`: the page follows the cursor in time.

    `descending`: the page begins with its newest audit. `repeated`: the parameters that addresses repeat.
    """

    part: Slice
    limit: int
    forwards: bool
    descending: bool
    repeated: tuple[tuple[str, str], ...]


def parse_audit_page_request(parameters: Mapping[str, str]) -> AuditPageRequest:
    """Check the parameters that `parse_query` returned. Raises InvalidCursor, InvalidValue."""
    limit = parse_integer(parameters.get("limit", str(AUDITS_LIMIT_MAX)))
    if limit is None or limit < 1:
        raise InvalidValue(f"limit must be a whole number from 1 to {AUDITS_LIMIT_MAX}")
    limit = min(limit, AUDITS_LIMIT_MAX)
    id, forwards = _decode(parameters["cursor"]) if "cursor" in parameters else (None, False)
    part = Slice(limit + 1, "id", not forwards, None if id is None else (id, id))
    repeated = tuple((name, text) for name, text in parameters.items() if name != "cursor")
    return AuditPageRequest(part, limit, forwards, parameters.get("sort_order") == "desc", repeated)


def paginate_audits(
    request: AuditPageRequest, rows: Sequence[ListRow], address: str
) -> tuple[Sequence[ListRow], dict[str, Any]]:
    """The audits of the page, and the keys that follow them in the envelope."""
    taken = rows[: count_page_rows(rows, request.limit)]
    page = sorted(taken, key=lambda row: row.id)
    more = len(rows) > len(taken)
    has_older = more if not request.forwards else request.part.after is not None
    has_newer = more if request.forwards else request.part.after is not None
    before = _encode(page[0], "|{}.0||{}") if page and has_older else None
    after = _encode(page[-1], "{}.0||{}|") if page and has_newer else None
    ends = {
        "after_url": _url(request, after, address),
        "before_url": _url(request, before, address),
        "after_cursor": after,
        "before_cursor": before,
    }
    return page[::-1] if request.descending else page, ends


def _url(request: AuditPageRequest, cursor: str | None, address: str) -> str | None:
    return None if cursor is None else f"{address}?{urlencode([('cursor', cursor), *request.repeated])}"


def _encode(row: ListRow, form: str) -> str:
    second = int(_CREATED.decode(row.body).created_at.timestamp())
    return b64encode(form.format(second, row.id).encode()).decode()


def _decode(text: str) -> tuple[int, bool]:
    """The id, and whether the cursor leads forward in time."""
    try:
        match = _CURSOR.fullmatch(b64decode(text, validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        match = None
    if match is None or bool(match[1]) == bool(match[3]) or int(match[2]) > INT64_MAX:
        raise InvalidCursor
    return int(match[2]), bool(match[3])
