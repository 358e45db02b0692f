"""The verdict on a consumer: what it was given, and what it wrote, compared with the feed.

By the promise of the store a ticket that is at its position now was on every page that covered that position. So its
latest state was given if a range that the consumer received covers its position, whenever that was. Where its output is
known, that decides instead: what a consumer was given and did not write is lost to its user.

A consumer must have what could be read when it read the last page of the feed (`end_of_stream`), or now if it has not
come to the end. Changes after that are pending: it gets them the next time.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from ticketfeed.protocol.consumers import Consumer, ReadRange, RequestRecord
from ticketfeed.protocol.model import INT64_MAX, Filters, Position
from ticketfeed.protocol.output_check import Output, OutputCheck, OutputDifferences
from ticketfeed.protocol.verdict_conduct import Conduct, check_conduct

__all__ = ["IDS_MAX", "CommandRun", "Expectation", "FeedTicket", "Outcome", "Verdict", "make_verdict"]

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "UNSUPPORTED"]
Expectation = Literal["completes", "stops", "waits", "any"]
# Of the ids that a verdict lists; the rest are counted.
IDS_MAX = 1000
_START = Position(0, 0)
_FORGOTTEN = "it read the feed in more separate ranges than are noted"


class FeedTicket(NamedTuple):
    """A ticket as the feed has it. Times are Unix seconds; `updated_at` is None where the body has none."""

    position: Position
    status: str
    support_type: str | None = None
    updated_at: int | None = None
    subject: str | None = None


class CommandRun(NamedTuple):
    """A command that was run as the consumer, under a fault.

    `expected`: what is right, any of these. `fired`: how often the fault did; None if there is none. `fired_at`: when
    first. `made_up`: the ids of the requests that the fault answered or cut. `exit_code`: of the last run; None if it
    was still running when its time was over. `seconds`: that time. `must_have`: the last second of the account before
    the last run began, whose changes it has to have; 0 for no more than the end it was told.
    """

    expected: tuple[Expectation, ...] = ("completes",)
    fired: int | None = None
    fired_at: float = 0.0
    made_up: frozenset[str] = frozenset()
    exit_code: int | None = 0
    seconds: float = 0.0
    must_have: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`reason`: one line. `tickets`: that the consumer must have; `missed_ids`: those of them whose latest state it has
    not, in feed order, the first IDS_MAX of `missed`. `pending`: changed since it came to the end. `given_twice`: pages
    that it had received before. `loops`: how often it requested one page again and again. `ignored_retry_after`:
    requests that it sent too early. `over_budget`: how often it was refused by the account's own rate limit. `gave_up`:
    the error after which it sent no more requests, if it has not all.
    """

    outcome: Outcome
    reason: str
    tickets: int = 0
    missed: int = 0
    missed_ids: tuple[int, ...] = ()
    pending: int = 0
    requests: int = 0
    given_twice: int = 0
    loops: int = 0
    ignored_retry_after: int = 0
    over_budget: int = 0
    gave_up: str = ""
    output: OutputDifferences | None = None


def make_verdict(
    consumers: Sequence[Consumer],
    requests: Sequence[RequestRecord],
    tickets: Iterable[FeedTicket],
    until: int,
    *,
    run: CommandRun | None = None,
    output: Output | None = None,
    since: Position | None = None,
) -> Verdict:
    """The verdict on a consumer, which is all of `consumers` together, with its recent `requests` in any order.

    `tickets`: all of the account, in any order, consumed once. `until`: the newest second of the feed that can be read.
    `since`: what it must have begins after it; by default, where its first request began. Without a `run` it is PASS
    if the consumer has all latest states.
    """
    given = _Given(consumers, until, run, since)
    check = OutputCheck(output) if output else None
    counted = _count(given, tickets, check)
    conduct = check_conduct(consumers, requests, run.made_up if run else frozenset())
    differences = check.differences() if check else None
    is_complete = differences.is_none if differences else not counted.missed and not given.has_forgotten
    verdict = Verdict(
        outcome="PASS",
        reason="",
        tickets=counted.tickets,
        missed=counted.missed,
        missed_ids=tuple(counted.missed_ids),
        pending=counted.pending,
        requests=conduct.requests,
        given_twice=conduct.given_twice,
        loops=conduct.loops,
        ignored_retry_after=conduct.ignored_retry_after,
        over_budget=conduct.over_budget,
        gave_up="" if is_complete else conduct.last_error,
        output=differences,
    )
    outcome, reason = _decide(verdict, given, conduct, run)
    return msgspec.structs.replace(verdict, outcome=outcome, reason=reason)


class _Given:
    """What the consumer was given of the tickets, and up to where it must have them."""

    def __init__(
        self, consumers: Sequence[Consumer], until: int, run: CommandRun | None, since: Position | None
    ) -> None:
        readers = [each for each in consumers if each.kind == "tickets" and each.position is not None]
        self.has_read = bool(readers)
        self.has_read_other = any(each.kind != "tickets" and each.pages for each in consumers)
        self.has_forgotten = any(each.forgotten_gaps for each in readers)
        self._readers = readers
        self.filters = list(dict.fromkeys(each.filters for each in readers)) or [Filters()]
        begins = [each.given[0].after for each in readers if each.given]
        self.since = since if since is not None else min(begins, default=_START)
        self.until = self._find_end(Position(until, INT64_MAX), run)

    def _find_end(self, readable: Position, run: CommandRun | None) -> Position:
        newest = max(self._readers, key=lambda each: each.page_at, default=None)
        if newest is None or newest.position is None or not newest.end_of_stream:
            return readable
        must_have = Position(run.must_have, INT64_MAX) if run and run.must_have else _START
        return min(readable, max(newest.position, must_have))

    def covers(self, ticket: FeedTicket) -> bool:
        """Whether its latest state was on a page."""
        return any(_passes(ticket, each.filters) and _is_in(each.given, ticket.position) for each in self._readers)


class _Counted:
    def __init__(self) -> None:
        self.tickets = self.missed = self.pending = 0
        self.missed_ids: list[int] = []


def _count(given: _Given, tickets: Iterable[FeedTicket], check: OutputCheck | None) -> _Counted:
    counted = _Counted()
    missed: list[Position] = []
    for ticket in tickets:
        is_wanted = any(_passes(ticket, filters) for filters in given.filters)
        must_have = is_wanted and given.since < ticket.position <= given.until
        if must_have:
            counted.tickets += 1
            if not given.covers(ticket):
                counted.missed += 1
                missed.append(ticket.position)
        elif is_wanted and ticket.position > given.until:
            counted.pending += 1
        if check:
            check.add(ticket.position, ticket.status, ticket.updated_at, ticket.subject, must_have=must_have)
        if len(missed) >= 2 * IDS_MAX:
            missed = sorted(missed)[:IDS_MAX]
    counted.missed_ids = [position.id for position in sorted(missed)[:IDS_MAX]]
    return counted


def _passes(ticket: FeedTicket, filters: Filters) -> bool:
    """Whether a reader with these filters wants a ticket."""
    if filters.exclude_deleted and ticket.status == "deleted":
        return False
    is_ai_agent = ticket.support_type == "ai_agent"
    return filters.support_type_scope == "all" or is_ai_agent == (filters.support_type_scope == "ai_agent")


def _is_in(ranges: Sequence[ReadRange], position: Position) -> bool:
    return any(given.after < position <= given.end for given in ranges)


def _decide(verdict: Verdict, given: _Given, conduct: Conduct, run: CommandRun | None) -> tuple[Outcome, str]:
    lost = _lost(verdict)
    if conduct.requests == 0 and (run is not None or verdict.output is None):
        return "INCONCLUSIVE", "it sent no request"
    if lost and conduct.missing_address and (run is None or run.exit_code != 0):
        return "UNSUPPORTED", f"it requested {conduct.missing_address}, which this server does not have"
    if run is not None:
        return _decide_run(verdict, given, conduct, run, lost)
    if not given.has_read and verdict.output is None:
        return "INCONCLUSIVE", _nothing_read(given, conduct)
    if lost:
        return "FAIL", lost
    if given.has_forgotten and verdict.output is None:
        return "INCONCLUSIVE", _FORGOTTEN
    return "PASS", _has_all(verdict)


def _decide_run(verdict: Verdict, given: _Given, conduct: Conduct, run: CommandRun, lost: str) -> tuple[Outcome, str]:
    if lost and run.exit_code == 0:
        return "FAIL", f"{lost}, and it ended with exit code 0"
    if run.fired == 0:
        return "INCONCLUSIVE", "the fault never fired"
    if misconduct := _misconduct(verdict, conduct):
        return "FAIL", misconduct
    if given.has_forgotten and verdict.output is None:
        return "INCONCLUSIVE", _FORGOTTEN
    met = [each for each in run.expected if _is_met(each, conduct, run, lost)]
    return ("PASS", _why_passed(met[0], verdict, run)) if met else ("FAIL", _why_failed(run, conduct, lost))


def _is_met(expected: Expectation, conduct: Conduct, run: CommandRun, lost: str) -> bool:
    if expected == "completes":
        return not lost and run.exit_code == 0
    if expected == "stops":
        return run.exit_code not in (None, 0)
    if expected == "waits":
        return conduct.is_waiting and run.exit_code is None
    return run.exit_code is not None


def _misconduct(verdict: Verdict, conduct: Conduct) -> str:
    """What no consumer may do, whatever it has read in the end."""
    if verdict.ignored_retry_after:
        return f"it sent {_number(verdict.ignored_retry_after, 'request')} before the time that Retry-After named"
    if verdict.loops:
        return "it requested the same page again and again"
    if conduct.flood:
        return f"it sent a failed request {conduct.flood} times without a pause"
    return ""


def _why_passed(expected: Expectation, verdict: Verdict, run: CommandRun) -> str:
    reasons: dict[Expectation, str] = {
        "completes": _has_all(verdict),
        "stops": f"it stopped with exit code {run.exit_code}",
        "waits": "it waited as Retry-After asked it to",
        "any": f"it ended with exit code {run.exit_code}",
    }
    return reasons[expected]


def _why_failed(run: CommandRun, conduct: Conduct, lost: str) -> str:
    if run.exit_code is None:
        return f"it did not end within {run.seconds:g} seconds"
    if run.exit_code == 0:
        return f"it ended with exit code 0, where it should have {_spelled(run.expected)}"
    cause = f" after {conduct.last_error}" if conduct.last_error else ""
    return f"it gave up with exit code {run.exit_code}{cause}; {lost or 'it has all tickets'}"


def _spelled(expected: Sequence[Expectation]) -> str:
    words: dict[Expectation, str] = {"completes": "read all", "stops": "stopped with an error", "waits": "waited"}
    return " or ".join(words.get(each, "ended") for each in expected)


def _nothing_read(given: _Given, conduct: Conduct) -> str:
    if given.has_read_other:
        return "it read no export of tickets"
    after = f"; the last answer was {conduct.last_error}" if conduct.last_error else ""
    return f"it was given no page of an export of tickets{after}"


def _lost(verdict: Verdict) -> str:
    if verdict.output is not None:
        return verdict.output.summary()
    return f"{_number(verdict.missed, 'ticket')} missed of {verdict.tickets:,}" if verdict.missed else ""


def _has_all(verdict: Verdict) -> str:
    return f"it has the latest state of all {_number(verdict.tickets, 'ticket')}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
