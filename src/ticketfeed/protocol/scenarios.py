"""Fault scenarios: when a server misbehaves on purpose, and how, so that a connector can be tested against it.

A scenario is data: one of the files of `ticketfeed/faults`, a file of the user, or an object of a request. Whether it
fires at a request is decided by the scenario, a seed, and how many requests it has counted, and by nothing else: the
same requests meet the same faults.
"""

import difflib
import fnmatch
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ticketfeed.protocol.errors import BadRecord, InvalidValue
from ticketfeed.protocol.tickets import parse_ticket

__all__ = [
    "TIMES_MAX",
    "Expectation",
    "FaultCount",
    "FaultDrip",
    "FaultEffect",
    "FaultTrigger",
    "FaultWorld",
    "PageEdit",
    "Scenario",
    "count_fault",
    "describe_effect",
    "matches_address",
    "parse_scenario",
    "unknown_scenario",
]

# What is right for a connector: to read everything in the end, to stop with an error, or to wait.
Expectation = Literal["completes", "stops", "waits", "any"]

# Of one activation: a test that needs more is another test.
TIMES_MAX = 10_000
# A body is text in a file that people read.
_BODY_CHARS_MAX = 1_000_000
_SECONDS_MAX = 3600
# Changes of one write, which holds the account's lock meanwhile.
_CHANGES_MAX = 10_000
_BYTES_MAX = 20_000_000
_BYTES_OF_ALL_MAX = 200_000_000

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NAME_CHARS_MAX = 60
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
# Fields that the connection itself depends on.
_RESERVED_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})

_PLACES = {
    "head": "before the answer",
    "before_body": "before the body",
    "inside_body": "inside the body",
    "after_body": "before the end of the body was marked",
    "after_answer": "after the answer",
}

_Count = Annotated[int, Meta(ge=0, le=_CHANGES_MAX)]
_Seconds = Annotated[float, Meta(ge=0, le=_SECONDS_MAX)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of a scenario."""


class FaultTrigger(_Part, frozen=True):
    """`[when]`: which requests are counted, and which of those it fires at.

    Counted are requests of `address` that satisfy `above_per_page`, `page`, `credential`, `grant_type` and `after`. It
    fires from the counted request number `request` on, at every `every`-th one, with the probability `chance`, and at
    most once in `every_seconds`.

    `address`: a path, with `*` for any text; an ending `.json` makes no difference. `page`: with `more` only pages
    with records that others follow, with `last` only those at the end of the stream. `credential`: what the request is
    authenticated by. `grant_type`: of a request to the token endpoint. `after`: what has happened since the scenario
    was switched on: an end of the stream that was sent, or a token that was issued.
    """

    address: Annotated[str, Meta(min_length=1, max_length=200)] = "/api/v2/incremental/*"
    request: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    every: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    every_seconds: _Seconds = 0.0
    chance: Annotated[float, Meta(ge=0, le=1)] = 1.0
    above_per_page: Annotated[int, Meta(ge=0)] | None = None
    page: Literal["more", "last"] | None = None
    credential: Literal["api_token", "access_token"] | None = None
    grant_type: Literal["authorization_code", "refresh_token", "client_credentials"] | None = None
    after: Literal["end_of_stream", "token"] | None = None


class FaultDrip(_Part, frozen=True, kw_only=True):
    """The body in `pieces` of equal size, with a pause of `every_seconds` before each."""

    pieces: Annotated[int, Meta(ge=2, le=1000)]
    every_seconds: _Seconds


class PageEdit(_Part, frozen=True):
    """Changes to the page that would have been sent.

    `cursor`: where to go on from; `stuck` points to the page itself. `end_of_stream`: what it says instead, or nothing.
    `records`: `none` is an empty page from which the walk goes on; `repeat` puts those of the page before in front.
    `after_url`: missing, null, or without scheme and host; in a time-based export this is `next_page`.
    """

    cursor: Literal["stuck", "null", "missing"] | None = None
    end_of_stream: bool | Literal["missing"] | None = None
    records: Literal["none", "repeat"] | None = None
    after_url: Literal["missing", "null", "without_host"] | None = None


class FaultWorld(_Part, frozen=True):
    """Changes to the account's tickets while its reader walks; each is part of the feed from then on.

    The answer is sent once they can be read. `create` and `touch`: how many tickets are new, or change, all in one
    second. `system`: a touched ticket keeps its `updated_at`, as with changes that Zendesk makes itself. `given`: touch
    the first ticket of the page that is sent. `delete`: of those read before; `scrub`: deleted and erased. `values`:
    keys that created and touched tickets are given. `custom_field`: the value that their first custom field has from
    then on. `description_bytes`: the size of their description.
    """

    create: _Count = 0
    touch: _Count = 0
    given: bool = False
    system: bool = False
    delete: _Count = 0
    scrub: _Count = 0
    values: dict[str, Any] = {}
    custom_field: Any = msgspec.UNSET
    description_bytes: Annotated[int, Meta(ge=0, le=_BYTES_MAX)] = 0


class FaultEffect(_Part, frozen=True):
    """`[what]`: what happens to a request at which a scenario fires.

    `body`: the whole answer is made up: the request is not carried out. Without it, `status` and `headers` change the
    answer that there is. In the value of a header `{http_date+SECONDS}` is a date by the account's clock.
    `date_skew_seconds`: added to the header `Date`. `delay_seconds`: before the answer. `cut`: where the connection
    ends: before the head, before, in the middle of or after the body, whose end is then missing, or after the answer,
    which is whole. `cut_after_bytes`: that many bytes of the body are sent. `truncate_gzip`: a complete answer whose
    compressed body is not. `remove_keys`: top-level keys that the JSON answer lacks. `token`: `expire` refuses the
    access or API token of the request from then on; `end` ends the refresh token of the request before it is used, as
    if another process had used it. `kill`: the answer is withheld, for a runner that kills the command meanwhile.
    """

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[str, str] = {}
    body: Annotated[str, Meta(max_length=_BODY_CHARS_MAX)] | None = None
    date_skew_seconds: Annotated[int, Meta(ge=-(10**9), le=10**9)] = 0
    delay_seconds: _Seconds = 0.0
    cut: Literal["head", "before_body", "inside_body", "after_body", "after_answer"] | None = None
    cut_after_bytes: Annotated[int, Meta(ge=0)] | None = None
    drip: FaultDrip | None = None
    truncate_gzip: bool = False
    remove_keys: tuple[str, ...] = ()
    page: PageEdit | None = None
    world: FaultWorld | None = None
    token: Literal["expire", "end"] | None = None
    kill: bool = False

    @property
    def is_early(self) -> bool:
        """Whether it is decided before the request is carried out."""
        return self.body is not None or self.token is not None or self.delay_seconds > 0


class Scenario(_Part, frozen=True, kw_only=True):
    """`expect`: what a connector may do to be right. `times`: how often it fires at most. `incident`: a report of what
    really happened, or the documentation of what may. `again`: a connector is whole after its second run.
    """

    name: Annotated[str, Meta(min_length=1, max_length=_NAME_CHARS_MAX)]
    description: Annotated[str, Meta(min_length=1, max_length=1000)]
    incident: Annotated[str, Meta(max_length=500)] = ""
    expect: tuple[Expectation, ...] = ("completes",)
    times: Annotated[int, Meta(ge=1, le=TIMES_MAX)] = 1
    again: bool = False
    when: FaultTrigger = FaultTrigger()
    what: FaultEffect


class FaultCount(NamedTuple):
    """How many requests a scenario has counted, at how many it fired, and when it last did."""

    counted: int = 0
    fired: int = 0
    fired_at: float | None = None


def count_fault(scenario: Scenario, seed: int, times: int, count: FaultCount, now: float) -> tuple[FaultCount, bool]:
    """The count after one more request, and whether the scenario fires at it."""
    number = count.counted + 1
    counted = count._replace(counted=number)
    when = scenario.when
    is_due = number >= when.request and (number - when.request) % when.every == 0
    is_early = count.fired_at is not None and now - count.fired_at < when.every_seconds
    if count.fired >= times or not is_due or is_early or _draw(scenario.name, seed, number) >= when.chance:
        return counted, False
    return FaultCount(number, count.fired + 1, now), True


def _draw(name: str, seed: int, number: int) -> float:
    """A number from 0 to below 1 that depends on these alone."""
    digest = hashlib.sha256(f"{seed} {name} {number}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def matches_address(scenario: Scenario, path: str) -> bool:
    """Whether the scenario is about requests of this path."""
    return fnmatch.fnmatchcase(path.removesuffix(".json"), scenario.when.address.removesuffix(".json"))


def parse_scenario(values: object) -> Scenario:
    """A scenario of its values, as TOML or JSON has them. Raises InvalidValue, which names the key."""
    if not isinstance(values, Mapping):
        raise InvalidValue("a scenario must be an object")
    expect = values.get("expect", "completes")
    values = {**values, "expect": [expect] if isinstance(expect, str) else expect}
    try:
        scenario = msgspec.convert(values, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidValue(_problem(str(error))) from None
    if problem := _inconsistency(scenario):
        raise InvalidValue(problem)
    return scenario


def _problem(text: str) -> str:
    """A message of msgspec, with the key in front: `what.status: Expected int, got str`."""
    message, _, place = text.partition(" - at `")
    key = place.removesuffix("`").removeprefix("$").removeprefix(".")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL):
        return f"{'.'.join(filter(None, (key, unknown[1])))}: there is no such key"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", message, re.DOTALL):
        return f"{'.'.join(filter(None, (key, missing[1])))}: is missing"
    return f"{key}: {message[:1].lower()}{message[1:]}" if key else message


def _inconsistency(scenario: Scenario) -> str | None:
    """What no type can say."""
    when, what = scenario.when, scenario.what
    if not _NAME.fullmatch(scenario.name):
        return "name: must consist of lower-case letters, digits and hyphens"
    if not scenario.expect:
        return "expect: must name one outcome at least"
    if scenario.incident and not scenario.incident.startswith(("https://", "http://")):
        return "incident: must be a URL"
    if what == FaultEffect():
        return "what: must have one effect at least"
    if what.is_early and when.page is not None:
        return "when.page: the page is not known yet where the answer is made up, delayed, or the token ends"
    if what.cut is not None and what.cut_after_bytes is not None:
        return "what.cut_after_bytes: cut says where already"
    if what.page is not None and what.page == PageEdit():
        return "what.page: must have one change at least"
    if what.world is not None and (problem := _world_problem(what.world)):
        return f"what.world.{problem}"
    for name, value in what.headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS:
            return f"what.headers.{name}: cannot be set"
        if not _HEADER_VALUE.fullmatch(value):
            return f"what.headers.{name}: must be printable ASCII"
    return None


def _world_problem(world: FaultWorld) -> str | None:
    """What a ticket cannot have."""
    if "id" in world.values:
        return "values: cannot have an id"
    size = world.description_bytes + len(msgspec.json.encode(world.values))
    if size * (world.create + world.touch) > _BYTES_OF_ALL_MAX:
        return f"description_bytes: all tickets together may have {_BYTES_OF_ALL_MAX:,} bytes at most"
    field = None if world.custom_field is msgspec.UNSET else world.custom_field
    for key, values in (("values", world.values), ("custom_field", {"custom_fields": [{"id": 1, "value": field}]})):
        try:
            parse_ticket(msgspec.json.encode({"id": 1, **values}), account="account", now=0)
        except BadRecord as error:
            return f"{key}: {error}"
    return None


def unknown_scenario(name: str, names: Collection[str]) -> InvalidValue:
    """The error for a name that no scenario has; it says which are like it."""
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    similar += [known for known in sorted(names) if name and name in known and known not in similar][:3]
    hint = f"; did you mean {' or '.join(similar)}?" if similar else "; see ticketfeed faults list"
    return InvalidValue(f"there is no scenario {name!r}{hint}")


def describe_effect(what: FaultEffect) -> str:
    """What a scenario does, in a few words."""
    return ", ".join(_words(what))


def _words(what: FaultEffect) -> Iterator[str]:
    if what.delay_seconds:
        yield f"delayed by {what.delay_seconds:g} s"
    if what.token is not None:
        yield "token expired" if what.token == "expire" else "refresh token used by another process"
    if what.status is not None or what.body is not None:
        yield f"status {what.status or 200}"
    if what.page is not None:
        yield "page changed: " + ", ".join(f"{key} {value}" for key, value in _set_keys(what.page))
    if what.world is not None:
        yield "tickets changed: " + ", ".join(f"{key} {value}" for key, value in _set_keys(what.world))
    if what.remove_keys:
        yield f"without {', '.join(what.remove_keys)}"
    if what.headers and what.body is None:
        yield f"headers changed: {', '.join(what.headers)}"
    if what.date_skew_seconds:
        yield f"Date {what.date_skew_seconds:+d} s"
    if what.truncate_gzip:
        yield "gzip truncated"
    if what.drip is not None:
        yield f"sent in {what.drip.pieces} pieces"
    if what.kill:
        yield "answer withheld"
    if what.cut is not None or what.cut_after_bytes is not None:
        yield f"connection cut {_PLACES.get(what.cut or '', f'after {what.cut_after_bytes} bytes of the body')}"


def _set_keys(table: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """The keys of a table that are set, with short values."""
    for key, value in msgspec.to_builtins(table).items():
        yield key, str(value)[:60].lower()
