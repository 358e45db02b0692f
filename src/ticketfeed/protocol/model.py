"""The values that travel between the rings. Frozen, and checked where they are made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ticketfeed.protocol.rows import FeedRow

__all__ = [
    "INT64_MAX",
    "LOADED_ID_MAX",
    "NEW_ID_MAX",
    "TEXT_ORDERS",
    "Account",
    "FeedState",
    "Filters",
    "Identity",
    "ListOrder",
    "Owner",
    "Page",
    "Position",
    "Slice",
    "Span",
    "SupportTypeScope",
    "TicketList",
    "Token",
]

INT64_MAX = 2**63 - 1
# A new record has the id after the largest of its kind. So a record that is loaded must leave room for others, and one
# beyond NEW_ID_MAX, which an older release let in, does not count: at least 2**61 new ids follow any that does.
LOADED_ID_MAX = 2**62
NEW_ID_MAX = 2**62 + 2**61

SupportTypeScope = Literal["all", "agent", "ai_agent"]
ListOrder = Literal[
    "id", "updated_at", "status", "created_at", "position", "name", "alphabetical", "subject", "deleted_at"
]
# Those whose key is text; the others go by numbers.
TEXT_ORDERS: frozenset[ListOrder] = frozenset({"status", "name", "alphabetical", "subject"})


class Position(NamedTuple):
    """A place in an account's feed; tuple order is feed order. It rests on wall time and never expires."""

    generated_timestamp: int
    id: int


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant. `subdomain` is the first label of its host. `account_id`: 0 until it is stored."""

    account_id: int
    subdomain: str


@dataclass(frozen=True, slots=True)
class FeedState:
    """The account row: what decides how far its feed may be read.

    `last_generated_timestamp`: the newest second any change carries. `watermark`: the newest second that is
    closed; no later commit carries it or an earlier one. `ticket_count`: rows held, deleted ones included.
    `invalidations`: how often a ticket has left a closed place, by being changed; a fence adds many.
    `record_changes`: how often a record that pages show beside tickets was stored, or who may come in was changed.
    `is_mirror`: whether its positions are those of a source (`protocol/mirrors.py`), and no second is closed by itself.
    The feed of an account's records has such a state too, where nothing is counted.
    """

    last_generated_timestamp: int = 0
    watermark: int = 0
    ticket_count: int = 0
    invalidations: int = 0
    record_changes: int = 0
    is_mirror: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """Which tickets a reader wants. Not part of the cursor: each request carries its own."""

    exclude_deleted: bool = False
    support_type_scope: SupportTypeScope = "agent"


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a list: the first `limit` of what stands behind `after`, or from `offset` on.

    `after` is (key, id) of a row already given, where `key` is what the list is ordered by.
    """

    limit: int
    order: ListOrder = "id"
    descending: bool = False
    after: tuple[int | str, int] | None = None
    offset: int = 0


class Owner(NamedTuple):
    """What the records of a list belong to: the column that says so, and the id in it."""

    column: Literal["ticket_id", "user_id", "organization_id"]
    id: int


@dataclass(frozen=True, slots=True)
class TicketList:
    """Which tickets a list holds. `start_time`: only those generated since. `archived_at`: without those that are
    closed, and that nothing has happened to since then. `term`: only those that have this term in the search index
    (`search_index.encode_term`), which deleted ones are not in. `without_values`: only those that have none of
    these values, (key, JSON), each of a key that the shape has and that is not its last."""

    deleted: bool = False
    support_type_scope: SupportTypeScope = "all"
    external_id: str | None = None
    start_time: int | None = None
    archived_at: int | None = None
    problem_id: int | None = None
    term: str | None = None
    without_values: tuple[tuple[str, bytes], ...] = ()

    def missing_texts(self) -> list[bytes]:
        """What the body of a ticket of the list does not contain."""
        return [b'"%s":%s,' % (key.encode(), value) for key, value in self.without_values]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: a user of the account, with the role that counts, and which credential says so.

    With an access token of OAuth, `credential_id` is the id of its client; a renewal changes only what follows it.
    `kind`: of the credential; empty for none. `used_at`: when it was last used, roughly. `scopes`: None allows
    everything.
    """

    user_id: int
    email: str
    role: str
    credential_id: int = 0
    kind: Literal["", "api_token", "password", "access_token"] = ""
    used_at: int | None = None
    token_id: int = 0
    scopes: str | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A credential as it may be shown: never the secret, nor its hash."""

    id: int
    user_id: int
    email: str
    kind: Literal["api_token", "password"]
    created_at: int
    revoked_at: int | None
    used_at: int | None = None
    description: str | None = None

    @property
    def last_used(self) -> int | None:
        """When it was last used, to the day; None if it was not, or that is not known."""
        return None if self.used_at == self.created_at else self.used_at


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer carries. `rows` stand in feed order.

    `after` is the position of the last row, or the caller's own where there is none. `embedded` has for each row
    what a sideload puts into it before its closing brace; it is empty when nothing is asked for.
    """

    rows: Sequence[FeedRow]
    after: Position
    end_of_stream: bool
    sideloads: dict[str, list[bytes]] = field(default_factory=dict)
    embedded: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """What one answer of a time-based export carries. `end_time`: the start_time to go on from; the rest as in Page."""

    rows: Sequence[FeedRow]
    end_time: int
    end_of_stream: bool
    sideloads: dict[str, list[bytes]] = field(default_factory=dict)
    embedded: list[bytes] = field(default_factory=list)
