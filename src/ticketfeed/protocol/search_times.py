"""The times of a search: days, moments with their zone, and times before now -> the first and the last second."""

import re
from datetime import UTC, date, datetime, timedelta

from ticketfeed.protocol.errors import InvalidValue

__all__ = ["parse_search_time"]

_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(Z|[+ -][0-9]{2}:?[0-9]{2})?", re.IGNORECASE
)
_AGO = re.compile(r"([0-9]{1,9})(minute|hour|day|week|month|year)s?", re.IGNORECASE)
_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_DAY_SECONDS = 86400


def parse_search_time(text: str, now: int) -> tuple[int, int]:
    """The Unix seconds at which a time begins and ends. Raises InvalidValue."""
    try:
        found = _day(text) or _moment(text) or _ago(text, now)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise InvalidValue(f"{text} is not a time such as 2026-01-31, 2026-01-31T12:00:00Z or 4hours")
    return found


def _day(text: str) -> tuple[int, int] | None:
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    begin = int(datetime(*map(int, match.groups()), tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]
    return begin, begin + _DAY_SECONDS - 1


def _moment(text: str) -> tuple[int, int] | None:
    """A moment without a zone is in UTC. An unencoded + of a URL arrives as a space."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    zone = (match[3] or "Z").upper().replace("Z", "+00:00").replace(" ", "+")
    second = int(datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").timestamp())
    return second, second if match[2].count(":") == 2 else second + 59


def _ago(text: str, now: int) -> tuple[int, int] | None:
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    count, unit = int(match[1]), match[2].lower()
    if unit in _UNIT_SECONDS:
        second = now - count * _UNIT_SECONDS[unit]
    else:
        moment = datetime.fromtimestamp(now, UTC)
        months = moment.year * 12 + moment.month - 1 - count * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        last_day = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(1)).day
        second = int(moment.replace(year=year, month=month + 1, day=min(moment.day, last_day)).timestamp())
    if second < 0:
        second = 0
    return second, second
