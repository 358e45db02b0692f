"""How a consumer behaved: waits, repeats, errors; from its consumers and its recent requests."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from ticketfeed.protocol.consumers import LOOP_REQUESTS, Consumer, RequestRecord

__all__ = ["FLOOD_REQUESTS", "Conduct", "check_conduct"]

# Statuses whose Retry-After asks for a wait.
_WAIT_STATUSES = (429, 503)
# Retry-After counts whole seconds, and a date in it has no smaller parts.
_TOLERANCE_SECONDS = 1.0
# So many requests for the same, each failed and each sent right after the one before, are retries without a pause. HTTP
# libraries retry three times at once by default, and a backoff that begins with a tenth of a second is quick twice.
FLOOD_REQUESTS = 6
# Asking again for a page that a fault has spoilt is right, for a while.
_SPOILT_LOOP_REQUESTS = 10
_PAUSE_SECONDS = 0.5


class Conduct(NamedTuple):
    """`flood`: the length of the longest row of retries without a pause, if it is FLOOD_REQUESTS or more. `last_error`:
    of the last request, if it failed. `missing_address`: one that this server does not have. `is_waiting`: whether
    the last answer asked it to wait.
    """

    requests: int
    given_twice: int
    loops: int
    ignored_retry_after: int
    over_budget: int
    flood: int
    last_error: str
    missing_address: str
    is_waiting: bool


def check_conduct(
    consumers: Sequence[Consumer], requests: Sequence[RequestRecord], made_up: Collection[str]
) -> Conduct:
    """`made_up`: the ids of requests whose answers were made up, and say nothing of the account's own limits."""
    ordered = sorted(requests, key=attrgetter("started_at"))
    last = max(requests, key=attrgetter("at"), default=None)
    return Conduct(
        requests=max(len(requests), sum(each.requests for each in consumers)),
        given_twice=sum(each.repeats for each in consumers),
        loops=_loops(ordered, made_up) if made_up else sum(each.loops for each in consumers),
        ignored_retry_after=sum(_counts_early(of_one) for of_one in _by_address(ordered)),
        over_budget=sum(each.status == 429 and each.request_id not in made_up for each in requests),
        flood=_flood(ordered),
        last_error=_error(last) if last and _is_failed(last) else _last_error(consumers, last),
        missing_address=_missing_address(last, made_up),
        is_waiting=last is not None and _asks_to_wait(last),
    )


def _by_address(requests: Iterable[RequestRecord]) -> list[list[RequestRecord]]:
    """A limit may be that of one address, so a wait is for requests of the same."""
    found: dict[tuple[str, str], list[RequestRecord]] = {}
    for request in requests:
        found.setdefault((request.method, request.path), []).append(request)
    return list(found.values())


def _counts_early(requests: Sequence[RequestRecord]) -> int:
    """How many of the requests for one address, in order, were sent before an earlier answer allowed it."""
    early = 0
    waits: list[RequestRecord] = []
    for request in requests:
        early += any(_is_early(request, each) for each in waits)
        if _asks_to_wait(request):
            waits = [each for each in waits if each.at + (each.retry_after or 0) > request.started_at]
            waits.append(request)
    return early


def _is_early(request: RequestRecord, refused: RequestRecord) -> bool:
    """Neither by the machine's clock nor by the account's, which a test may put ahead, has the time passed."""
    if request.started_at < refused.at:  # sent before the answer was there
        return False
    passed = max(request.started_at - refused.at, request.time - refused.time)
    return passed < (refused.retry_after or 0) - _TOLERANCE_SECONDS


def _asks_to_wait(request: RequestRecord) -> bool:
    return request.status in _WAIT_STATUSES and request.retry_after is not None


def _flood(requests: Sequence[RequestRecord]) -> int:
    longest = 0
    rows: dict[
        tuple[str, str, str], tuple[float, int]
    ] = {}  # of a request: when it failed last, and how often in a row
    for request in requests:
        key = request.method, request.path, str(sorted(request.query.items()))
        ended, count = rows.get(key, (0.0, 0))
        is_paused = request.started_at > ended + _PAUSE_SECONDS
        count = count + 1 if _is_failed(request) and not is_paused else int(_is_failed(request))
        rows[key] = request.at, count
        longest = max(longest, count)
    return longest if longest >= FLOOD_REQUESTS else 0


def _loops(requests: Sequence[RequestRecord], made_up: Collection[str]) -> int:
    """How often one page was requested again and again: as consumers have it, but for the pages that a fault spoilt."""
    loops = 0
    for of_one in _by_address(requests):
        asked, whole, spoilt = "", 0, 0
        for request in (each for each in of_one if not _is_failed(each)):
            query = str(sorted(request.query.items()))
            if query != asked:
                asked, whole, spoilt = query, 0, 0
            if request.request_id in made_up:
                spoilt += 1
                loops += spoilt == _SPOILT_LOOP_REQUESTS
            elif request.served is not None and request.served.rows > 0 and not request.served.end_of_stream:
                whole += 1
                loops += whole == LOOP_REQUESTS
    return loops


def _is_failed(request: RequestRecord) -> bool:
    return request.status == 0 or request.status >= 400


def _error(request: RequestRecord) -> str:
    return request.error or (str(request.status) if request.status else "a broken connection")


def _last_error(consumers: Sequence[Consumer], last: RequestRecord | None) -> str:
    """Where requests are not noted any more, a consumer still has its last error."""
    newest = max(consumers, key=attrgetter("last_at"), default=None)
    has_failed = last is None and newest is not None and newest.last_error_at >= newest.last_at
    return newest.last_error if newest is not None and has_failed else ""


def _missing_address(last: RequestRecord | None, made_up: Collection[str]) -> str:
    if last is None or last.request_id in made_up or "InvalidEndpoint" not in last.error:
        return ""
    return f"{last.method} {last.path}"
