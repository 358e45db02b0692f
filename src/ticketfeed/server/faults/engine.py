"""The scenarios that are switched on in one process: which requests they count, and where they fired.

They live as long as the process: a test switches them on again. So that counts are exact, a server that has them is a
single process.
"""

import hmac
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.scenarios import TIMES_MAX, FaultCount, Scenario, count_fault, matches_address
from ticketfeed.protocol.token_request import TokenRequest

__all__ = ["ActiveScenario", "FaultRequest", "Faults", "Firing"]

# Of one account. Enough for a test that fires at each request of a long walk.
FIRINGS_KEPT = 10_000
SCENARIOS_MAX = 100


class Firing(NamedTuple):
    """What one scenario did to one request.

    `at`: Unix seconds of the machine. `number`: which of the requests that it counted. `query`: as it is logged.
    `action`: in words. `status`: of the answer; 0 if nothing was sent. `is_cut`: the connection ended with it.
    """

    scenario: str
    at: float
    number: int
    request_id: str
    method: str
    path: str
    query: dict[str, str]
    credential_id: int
    action: str
    status: int = 0
    is_cut: bool = False


class FaultRequest(NamedTuple):
    """A request, as far as scenarios depend on it.

    `secrets`: the tokens, passwords, client identifiers and client secrets that it carries. `per_page`: the size of
    the page, that of the default if none is named. `query`: the parameters as they are logged.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    per_page: int
    secrets: Collection[str]
    identity: Identity | None
    token_request: TokenRequest | None
    request_id: str
    query: dict[str, str]

    @property
    def grant_type(self) -> str | None:
        return self.token_request.grant_type if self.token_request else None


@dataclass(slots=True)
class ActiveScenario:
    """A scenario that is switched on for an account, or for one token of it. `events`: what has happened since."""

    scenario: Scenario
    seed: int
    times: int
    token_hash: str | None = None
    count: FaultCount = FaultCount()  # noqa: RUF009 - never changed in place
    events: set[str] = field(default_factory=set)
    last: Firing | None = None
    # The records of the page before, for `records = "repeat"`.
    records: dict[str, Sequence[object]] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        return self.count.counted

    @property
    def fired(self) -> int:
        return self.count.fired

    def counts(self, request: FaultRequest) -> bool:
        """Whether the request is one of those that it counts, as far as that does not depend on the answer."""
        when = self.scenario.when
        if not matches_address(self.scenario, request.path):
            return False
        if when.above_per_page is not None and request.per_page <= when.above_per_page:
            return False
        if when.credential is not None and (request.identity is None or request.identity.kind != when.credential):
            return False
        if when.grant_type is not None and request.grant_type != when.grant_type:
            return False
        if when.after is not None and when.after not in self.events:
            return False
        if self.token_hash is None:
            return True
        return any(hmac.compare_digest(hash_token(secret), self.token_hash) for secret in request.secrets)

    def fires(self, now: float) -> bool:
        """Count one more request; whether the scenario fires at it."""
        self.count, is_firing = count_fault(self.scenario, self.seed, self.times, self.count, now)
        return is_firing


class Faults:
    """The scenarios of one process. `listeners` are called in the event loop with every firing, as it happens."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Account, Firing], None]] = []
        self._active: dict[int, dict[str, ActiveScenario]] = {}
        self._firings: dict[int, deque[Firing]] = {}
        # Access tokens and credentials that are refused since a scenario made them expire, by account.
        self._expired: dict[int, set[tuple[str, int]]] = {}

    @property
    def are_active(self) -> bool:
        """Whether any account has a scenario, or a token that one of them made expire."""
        return bool(self._active or self._expired)

    def add(
        self, account: Account, scenario: Scenario, *, seed: int = 1, token: str | None = None, times: int | None = None
    ) -> ActiveScenario:
        """Switch a scenario on, from its beginning; one of the same name ends. `token`: for requests with it alone.

        `times`: how often it fires at most, instead of what the scenario says. Raises InvalidValue.
        """
        if times is not None and not 1 <= times <= TIMES_MAX:
            raise InvalidValue(f"times must be a number from 1 to {TIMES_MAX:,}")
        active = self._active.setdefault(account.account_id, {})
        if scenario.name not in active and len(active) >= SCENARIOS_MAX:
            raise InvalidValue(f"an account has at most {SCENARIOS_MAX} scenarios at a time")
        active.pop(scenario.name, None)
        added = ActiveScenario(scenario, seed, times or scenario.times, hash_token(token) if token else None)
        active[scenario.name] = added
        return added

    def clear(self, account: Account, name: str | None = None) -> int:
        """Switch one scenario off, or all, and forget the firings of these; returns how many there were."""
        active, id = self._active.get(account.account_id, {}), account.account_id
        names = list(active) if name is None else [name]
        ended = [active.pop(each) for each in names if each in active]
        if name is None:
            self._firings.pop(id, None)
        elif id in self._firings:
            self._firings[id] = deque((f for f in self._firings[id] if f.scenario != name), FIRINGS_KEPT)
        if not active:
            self._active.pop(id, None)
            self._expired.pop(id, None)
        return len(ended)

    def active(self, account: Account) -> list[ActiveScenario]:
        """The scenarios that are switched on, in the order in which they were."""
        return list(self._active.get(account.account_id, {}).values())

    def firings(self, account: Account) -> list[Firing]:
        """What they did, oldest first."""
        return list(self._firings.get(account.account_id, ()))

    def record(self, account: Account, active: ActiveScenario, firing: Firing) -> None:
        """Store a firing, and report it."""
        active.last = firing
        self._firings.setdefault(account.account_id, deque(maxlen=FIRINGS_KEPT)).append(firing)
        for listener in self.listeners:
            listener(account, firing)

    def expire(self, account: Account, identity: Identity) -> None:
        """Refuse the token of a request from now on; a renewed one is accepted."""
        self._expired.setdefault(account.account_id, set()).add(_token_of(identity))

    def is_expired(self, account: Account, identity: Identity) -> bool:
        """Whether a scenario made this token expire."""
        return _token_of(identity) in self._expired.get(account.account_id, ())


def _token_of(identity: Identity) -> tuple[str, int]:
    """What is the same for all requests with one token."""
    is_access_token = identity.kind == "access_token"
    return identity.kind, identity.token_id if is_access_token else identity.credential_id
