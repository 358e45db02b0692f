"""The verdict on a consumer of a stored account: reads what `protocol/verdict.py` decides on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ticketfeed.data.status import readable_until
from ticketfeed.protocol.consumers import Consumer, RequestRecord
from ticketfeed.protocol.errors import BadInput, StoreError
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.output_check import Output, parse_output_time
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.request_body import UNREADABLE
from ticketfeed.protocol.verdict import CommandRun, FeedTicket, Verdict, make_verdict
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import LONG_STATEMENT_SECONDS, Snapshot

__all__ = ["VerdictOptions", "read_verdict"]

# Requests of a connector; those for the dashboard and for this verdict are not.
_PATHS = ("/api/", "/oauth/")
_NAMES_MAX = 10


class VerdictOptions(NamedTuple):
    """`consumer`: the email, user agent or credential id of the consumer; None for all that read the account, as if
    they were one. The rest as in `make_verdict`."""

    consumer: str | None = None
    output: Output | None = None
    run: CommandRun | None = None
    since: Position | None = None
    settle_seconds: int = 0


_EVERYTHING = VerdictOptions()


class _Body(msgspec.Struct):
    updated_at: str | None = None
    subject: str | None = None


async def read_verdict(store: Store, account: Account, *, now: int, options: VerdictOptions = _EVERYTHING) -> Verdict:
    """The verdict on the consumer of an account. `now`: the machine's. Raises BadInput for an unknown consumer,
    StoreUnavailable.
    """
    consumers, requests = await store.read_consumers(account), await store.read_requests(account)
    requests = [each for each in requests if each.path.startswith(_PATHS)]
    if options.consumer is not None:
        consumers, requests = _choose(options.consumer, consumers, requests)
    now = store.clocks.at(account, now)

    def read(snapshot: Snapshot) -> Verdict:
        state = snapshot.state(account) or FeedState()
        return make_verdict(
            consumers,
            requests,
            _tickets(snapshot, account, with_content=options.output is not None),
            readable_until(state, now, options.settle_seconds),
            run=options.run,
            output=options.output,
            since=options.since,
        )

    return await store.inspect(read, accounts=[account], statement_seconds=LONG_STATEMENT_SECONDS)


def _choose(
    name: str, consumers: Sequence[Consumer], requests: Sequence[RequestRecord]
) -> tuple[list[Consumer], list[RequestRecord]]:
    def is_it(each: Consumer | RequestRecord) -> bool:
        return name in (each.email, each.user_agent, each.user_agent.partition("/")[0], str(each.credential_id))

    chosen = [each for each in consumers if is_it(each)], [each for each in requests if is_it(each)]
    if not any(chosen):
        names = sorted({each.user_agent.partition("/")[0] or each.email for each in consumers})[:_NAMES_MAX]
        raise BadInput(f"there is no consumer {name!r}; there are: {', '.join(names) or 'none'}")
    return chosen


def _tickets(snapshot: Snapshot, account: Account, *, with_content: bool) -> Iterator[FeedTicket]:
    decode = msgspec.json.Decoder(_Body).decode
    for row in snapshot.tickets(account):
        ticket = FeedTicket(position_of(row), row.status, row.support_type)
        if with_content:
            try:
                body = decode(row.body)
            except UNREADABLE:
                raise StoreError(f"ticket {row.id} is damaged; ticketfeed check says more") from None
            ticket = ticket._replace(updated_at=parse_output_time(body.updated_at), subject=body.subject or None)
        yield ticket
