"""What a server tells those who run it: alive, ready, and its metrics, each to whom it concerns."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, tickets
from tests.server.mirrored import mirror_of, put
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.sizes import measure_accounts
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server import app as app_module
from ticketfeed.server.ops.metrics import METRICS
from ticketfeed.settings import Settings
from ticketfeed.storage.account_size import AccountQuota

METRICS_PATH = "/_ticketfeed/metrics"
TOKEN = "metrics-token-of-this-test"


def samples(answer: Answer) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, values of its labels in the order of their names) -> value."""
    assert answer.status == 200, answer.body
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def scraped(desk: Desk, **asked: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    return samples(desk.ask(METRICS_PATH, **asked))


def replaced(desk: Desk, **methods: Any) -> None:
    """Some methods of its store do something else."""
    for name, method in methods.items():
        setattr(desk.store, name, method)


async def away(*_args: Any, **_options: Any) -> Any:
    raise StoreUnavailable("away")


def ready(desk: Desk) -> tuple[int, dict[str, str]]:
    answer = desk.ask("/_ticketfeed/ready", authorization=None)
    assert answer.headers["cache-control"] == "no-store"
    return answer.status, json.loads(answer.body)["checks"]


def test_health_asks_nobody() -> None:
    """The process is alive whatever the store does, and says so without credentials."""
    desk = Desk()
    replaced(desk, list_accounts=away, inspect=away)
    answer = desk.ask("/_ticketfeed/health", authorization=None)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})


def test_ready() -> None:
    """A server is ready whose store can be read; also while only replicas can be: they go on serving."""
    desk = Desk()
    assert ready(desk) == (200, {"store": "ok", "migrations": "ok", "clock": "ok"})
    replaced(desk, inspect=away)
    assert ready(desk) == (200, {"store": "can only be read", "migrations": "unknown", "clock": "unknown"})
    replaced(desk, list_accounts=away)
    assert ready(desk) == (503, {"store": "cannot be read"})


def test_not_ready_with_another_schema() -> None:
    """A schema that this release does not know is not served."""

    async def inspect(work: Any, *, accounts: Any, is_probe: bool) -> Any:
        assert (is_probe, accounts) == (True, [])
        snapshot = Mock(migration_problems=lambda: iter(["migration 9 is unknown"]), accounts=lambda: iter([]))
        return work(snapshot)

    desk = Desk()
    replaced(desk, inspect=inspect)
    assert ready(desk) == (503, {"store": "ok", "migrations": "migration 9 is unknown", "clock": "ok"})


def test_metrics_while_the_store_is_away() -> None:
    """What was counted is told all the same, and that the store is away."""
    desk = Desk(Settings(metrics_token=TOKEN))
    desk.ask(ALL)
    replaced(desk, list_accounts=away, inspect=away)
    desk.ask(ALL, host="unknown.localhost")
    found = samples(desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}"))
    assert found["ticketfeed_store_up", ()] == 0
    assert found["ticketfeed_pages_total", ("acme", "tickets/cursor")] == 1
    assert not [name for name, _ in found if name.startswith(("ticketfeed_tickets", "ticketfeed_consumer"))]


def test_accounts_out_of_reach() -> None:
    """Metrics of all other accounts are told, each by itself, and the server is ready."""
    desk = Desk(Settings(metrics_token=TOKEN))
    desk.ask(ALL)
    other = asyncio.run(desk.store.create_account("other"))
    inspect = desk.store.inspect

    async def inspect_reachable(work: Any, **options: Any) -> Any:
        def reachable(snapshot: Any) -> Any:
            def state(account: Account) -> Any:
                if account == other:
                    raise StoreUnavailable("away")
                return type(snapshot).state(snapshot, account)

            def accounts(of: Any) -> Any:
                return [(account, state(account)) for account in of or snapshot.list_accounts()]

            snapshot.state, snapshot.accounts = state, accounts
            return work(snapshot)

        return await inspect(reachable, **options)

    replaced(desk, inspect=inspect_reachable)
    assert ready(desk) == (200, {"store": "ok", "migrations": "ok", "clock": "ok"})
    found = samples(desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}"))
    assert found["ticketfeed_store_up", ()] == 1
    assert ("ticketfeed_tickets", ("acme",)) in found
    assert ("ticketfeed_tickets", ("other",)) not in found
    broken = asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, lambda _: None)))
    assert (broken.accounts, broken.findings) == (2, {"unreadable": 1})


def test_requests_read_no_other_account() -> None:
    """Pages and writes of one account need nothing that is read of all."""
    desk = Desk()
    replaced(desk, read_mirrors=away, read_clocks=away, read_all_consumers=away, inspect=away)
    desk.send("POST", "/tickets", {"ticket": {"comment": "x"}}, expect=201)
    desk.now += 2
    assert len(desk.page(ALL)["tickets"]) == 1


def test_what_stands_beside_the_store_is_away() -> None:
    """Then consumers are not known, and everything else is."""
    desk = Desk()
    replaced(desk, read_consumers=away, read_all_consumers=away)
    assert samples(desk.ask(METRICS_PATH))["ticketfeed_tickets", ("acme",)] == 0
    assert b"Consumer statistics are unavailable: away" in desk.ask("/_ticketfeed/").body


def test_metrics_count_what_was_served() -> None:
    """Requests, pages, tickets and bytes, by account and endpoint; how long they took."""
    desk = Desk()
    desk.put("tickets", *tickets(*range(1, 11)))
    sent = len(desk.ask(f"{ALL}&per_page=4").body) + len(desk.ask(f"{ALL}&per_page=4").body)
    desk.ask("/api/v2/tickets/999")
    found = scraped(desk)
    endpoint = "/incremental/tickets/cursor"
    assert found["ticketfeed_requests_total", ("acme", endpoint, "GET", "200")] == 2
    assert found["ticketfeed_requests_total", ("acme", "/tickets/{id:int}", "GET", "404")] == 1
    assert found["ticketfeed_pages_total", ("acme", "tickets/cursor")] == 2
    assert found["ticketfeed_rows_total", ("acme", "tickets/cursor")] == 8
    assert found["ticketfeed_sent_bytes_total", ("acme", endpoint)] == sent
    assert found["ticketfeed_request_seconds_count", ("acme", endpoint)] == 2


def test_metrics_tell_how_feeds_and_consumers_stand() -> None:
    """Tickets, watermark, newest change; and of a consumer its lag, what it missed, repeated and loops on."""
    desk = Desk()
    desk.put("tickets", *tickets(*range(1, 11)))
    asyncio.run(measure_accounts(desk.store, lambda _: NOON))
    for _ in range(3):
        desk.ask(f"{ALL}&per_page=4", headers=[("User-Agent", 'tap "1"')])
    found = scraped(desk)
    assert found["ticketfeed_tickets", ("acme",)] == 10
    assert found["ticketfeed_newest_change_timestamp_seconds", ("acme",)] == NOON - 1000
    assert found["ticketfeed_watermark_timestamp_seconds", ("acme",)] == NOON - 1000
    assert found["ticketfeed_watermark_lag_seconds", ("acme",)] == 0
    assert found["ticketfeed_ticket_bytes", ("acme",)] > 10 * 500
    assert found["ticketfeed_records", ("acme",)] >= 1
    assert found["ticketfeed_record_bytes", ("acme",)] > 100
    assert found["ticketfeed_measured_timestamp_seconds", ("acme",)] == NOON
    consumer = ("acme", "1", "tickets/cursor", 'tap "1"')
    assert found["ticketfeed_consumer_lag_tickets", consumer] == 6
    assert found["ticketfeed_consumer_lag_seconds", consumer] == 1000
    assert found["ticketfeed_consumer_looping", consumer] == 1
    assert found["ticketfeed_consumer_repeats_total", consumer] == 2
    assert found["ticketfeed_consumer_missed_tickets", consumer] == 0
    assert found["ticketfeed_consumer_last_seen_timestamp_seconds", consumer] == NOON


def test_a_consumer_that_skips_has_missed() -> None:
    """Tickets that stand in a range which was skipped are missed, until they move on."""
    desk = Desk()
    desk.put("tickets", *tickets(1, second=100), *tickets(2, 3, second=200), *tickets(4, second=300))
    desk.ask(f"{PATH}?start_time=0&per_page=1")
    desk.ask(f"{PATH}?start_time=300")
    consumer = ("acme", "1", "tickets/cursor", "")
    assert scraped(desk)["ticketfeed_consumer_missed_tickets", consumer] == 2
    desk.put("tickets", {"id": 2})
    assert scraped(desk)["ticketfeed_consumer_missed_tickets", consumer] == 1
    desk.now += 2  # over is the second of the change, and it can be read
    assert scraped(desk)["ticketfeed_consumer_lag_tickets", consumer] == 1


def test_metrics_are_told_to_admins_of_their_own_account() -> None:
    """An admin sees nothing of another account; an agent and a stranger see nothing at all."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    for account in ("acme", "other"):
        desk.put("tickets", *tickets(1, 2), account=account)
        assert desk.ask(ALL, host=f"{account}.localhost").status == 200
    own = scraped(desk)
    assert {labels[0] for _, labels in own} == {"acme"}
    assert own["ticketfeed_request_seconds_count", ("acme", "/incremental/tickets/cursor")] == 1
    assert {labels[0] for name, labels in own if "requests_total" in name or name == "ticketfeed_tickets"} == {"acme"}
    assert desk.ask(METRICS_PATH, authorization=None).status == 401
    assert desk.ask(METRICS_PATH, authorization=basic("admin@example.com/token:no")).status == 401
    assert desk.ask(METRICS_PATH, authorization=basic("agent@example.com/token:agent-token")).status == 403


def test_the_metrics_token() -> None:
    """Its holder is told of all accounts, whatever the host; a wrong one is refused; without one there is none."""
    desk = Desk(Settings(metrics_token=TOKEN), accounts=("acme", "other"))
    for account in ("acme", "other"):
        desk.put("tickets", *tickets(1, 2), account=account)
    found = scraped(desk, authorization=f"Bearer {TOKEN}", host="10.0.0.7:8080")
    assert {labels[0] for name, labels in found if name == "ticketfeed_tickets"} == {"acme", "other"}
    assert desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}x").status == 401
    assert Desk().ask(METRICS_PATH, authorization="Bearer ").status == 401


def test_every_metric_is_in_the_table(engine: str) -> None:
    """What is told and what the table says is the same, with the same labels and words."""
    desk = Desk(Settings(metrics_token=TOKEN), mirror=mirror_of())
    desk.put("tickets", *tickets(1, 2))
    put(desk, mirror_of())
    (account,) = asyncio.run(desk.store.list_accounts())
    asyncio.run(desk.store.write(account, lambda write: write.put_quota(AccountQuota(5, 5))))
    asyncio.run(measure_accounts(desk.store, lambda _: NOON))
    desk.ask(ALL)
    desk.ask(ALL, authorization="Bearer wrong")
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    text = desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}").body.decode()
    families = list(text_string_to_metric_families(text))
    told = {family.name + ("_total" if family.type == "counter" else ""): family for family in families}
    assert told.keys() == METRICS.keys()
    for name, (kind, labels, text) in METRICS.items():
        assert (told[name].type, told[name].documentation) == (kind, text)
        if name.startswith(("ticketfeed_pool_", "ticketfeed_citus_")):  # of servers, which other engines have not
            assert engine == "citus" or told[name].samples == []
        else:
            assert set(told[name].samples[0].labels) - {"le"} == set(labels), name


def test_metrics_hold_no_secret() -> None:
    """Neither credentials nor the metrics token are in the text, nor in what the settings show of themselves."""
    settings = Settings(metrics_token=TOKEN)
    desk = Desk(settings)
    desk.ask(f"{ALL}&token=hidden", authorization=basic("admin@example.com/token:hidden"))
    desk.ask(ALL)
    text = desk.ask(METRICS_PATH).body.decode()
    assert not [secret for secret in ("hidden", TOKEN, "admin-token", ADMIN.split()[1]) if secret in text]
    assert TOKEN not in repr(settings)


def test_without_prometheus_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing the server serves, and says what is missing."""
    monkeypatch.setattr(app_module, "make_metrics", lambda: None)
    desk = Desk()
    assert desk.ask(ALL).status == 200
    answer = desk.ask(METRICS_PATH)
    assert (answer.status, b"pip install" in answer.body) == (501, True)
