"""A server for test suites: a made-up help desk on a free port, in this process, as new for every test.

With pytest there is nothing to import: the fixture `ticketfeed` is one of these (`pytest_ticketfeed.py`).
"""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ticketfeed.client.outputs import read_output
from ticketfeed.clock import system_clock
from ticketfeed.data.demo import DEMO_USERS, fill_demo
from ticketfeed.data.saved_accounts import delete_saved_account, fork_account, rewind_account, save_account
from ticketfeed.data.status import ConsumerStatus, read_status
from ticketfeed.data.verdict import VerdictOptions, read_verdict
from ticketfeed.faults import find_scenario, read_scenario_file
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.consumers import RequestRecord
from ticketfeed.protocol.errors import TicketfeedError
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.moved_clock import ClockMove, parse_clock_move
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.resources import KINDS
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.scenarios import Scenario, parse_scenario
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.protocol.verdict import Verdict
from ticketfeed.server.app import create_app
from ticketfeed.server.faults.engine import Faults, Firing
from ticketfeed.server.run import QuietServer, bind, server_config
from ticketfeed.settings import ProfileName, Settings
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["ACCOUNT", "FeedClock", "FeedFaults", "FeedServer", "FeedSnapshots", "serve_desk"]

T = TypeVar("T")

ACCOUNT = "demo"
DEFAULT_TICKETS = 200
RUN_SECONDS_MAX = 300.0


class FeedClock:
    """The clock of the server's account. What ages by it has aged when a call returns: tokens that were used, tickets
    that maintenance closes or scrubs.
    """

    def __init__(self, server: "FeedServer") -> None:
        self._server = server

    @property
    def now(self) -> int:
        """The account's time, in Unix seconds."""
        return self._server._store.clocks.at(self._server._account(), system_clock())

    def advance(self, duration: int | str) -> None:
        """Put the clock ahead by seconds, or by a duration such as 90s, 31m, 24h or 30d."""
        self._server._move_clock(parse_clock_move({"advance": duration}))

    def set(self, time: int | str) -> None:
        """Set it to a time, earlier or later: Unix seconds, or as 2027-04-30T12:00:00Z."""
        self._server._move_clock(parse_clock_move({"set": time}))

    def freeze(self) -> None:
        """Stop it; `set` and `advance` still move it."""
        self._server._move_clock(ClockMove("freeze"))

    def resume(self) -> None:
        """Let it go on from where it was stopped."""
        self._server._move_clock(ClockMove("resume"))

    def reset(self) -> None:
        """Put it back to the system's time."""
        self._server._move_clock(ClockMove("reset"))


class FeedFaults:
    """Scenarios that make requests to the server fail. A test begins without any."""

    def __init__(self, server: "FeedServer") -> None:
        self._server = server

    def add(
        self,
        scenario: str | Path | Mapping[str, Any] | Scenario,
        *,
        seed: int = 1,
        token: str | None = None,
        times: int | None = None,
    ) -> None:
        """Switch a scenario on: one of the package by its name, one of a TOML file by its path, or one of your own.

        `token`: only for requests that carry it. `times`: how often it fires at most. Raises TicketfeedError.
        """
        found = _scenario(scenario)
        self._call(lambda faults, account: faults.add(account, found, seed=seed, token=token, times=times))

    def clear(self, name: str | None = None) -> None:
        """Switch one scenario off, or all, and forget what they did."""
        self._call(lambda faults, account: faults.clear(account, name))

    def fired(self, name: str) -> int:
        """At how many requests a scenario fired since it was switched on."""
        return sum(firing.scenario == name for firing in self.firings())

    def firings(self) -> list[Firing]:
        """What the scenarios did, oldest first."""
        return self._call(lambda faults, account: faults.firings(account))

    def _call(self, work: Callable[[Faults, Account], T]) -> T:
        async def do() -> T:
            assert self._server._app is not None
            return work(self._server._app.state.faults, self._server._account())

        return self._server._await(do())


def _scenario(scenario: str | Path | Mapping[str, Any] | Scenario) -> Scenario:
    if isinstance(scenario, Scenario):
        return scenario
    if isinstance(scenario, str) and not scenario.endswith(".toml"):
        return find_scenario(scenario)
    return read_scenario_file(Path(scenario)) if isinstance(scenario, str | Path) else parse_scenario(scenario)


class FeedSnapshots:
    """What was saved of the server's account since the test began. Readers are rewound with it: no fence is set, and
    what is known of them is as it was.
    """

    def __init__(self, server: "FeedServer") -> None:
        self._server = server

    def save(self, name: str = "saved") -> None:
        """Save the account as it is. Raises TicketfeedError if the name is in use."""
        self._server._use_store(lambda store, account: save_account(store, account, name))

    def rewind(self, name: str = "saved") -> None:
        """Put the account back to what it was, its clock too. Raises TicketfeedError for an unknown name."""
        self._server._use_store(lambda store, account: rewind_account(store, account, name, with_consumers=True))

    def fork(self, name: str, account: str) -> None:
        """Make another account of what was saved, at the host ACCOUNT.localhost, with the same credentials."""
        self._server._use_store(lambda store, own: fork_account(store, own, name, account))

    def delete(self, name: str = "saved") -> None:
        """Delete what was saved."""
        self._server._use_store(lambda store, account: delete_saved_account(store, account, name))

    def names(self) -> list[str]:
        """The names, the oldest first."""
        saved = self._server._await(self._server._store.list_saved(self._server._account()))
        return [each.name for each in saved]


class FeedServer:
    """A running server. Its `clock` is the system's until it is moved; its `faults` are scenarios that fail requests.

    `url`: scheme, host and port. `account`: the first label of its hosts. `email` and `token`: of an admin;
    `agent_email`, `agent_token`: of somebody who may not export. `auth`: what requests and httpx take as `auth`.
    """

    account = ACCOUNT
    email, token = DEMO_USERS[0][0], DEMO_USERS[0][2]
    agent_email, agent_token = DEMO_USERS[1][0], DEMO_USERS[1][2]

    def __init__(self) -> None:
        self.url = ""
        self.clock = FeedClock(self)
        self.snapshot = FeedSnapshots(self)
        self.faults = FeedFaults(self)
        self._worlds: dict[tuple[int, int], MemoryStore] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ticketfeed", daemon=True)
        self._store = MemoryStore()
        self._app: Starlette | None = None

    @property
    def auth(self) -> tuple[str, str]:
        return f"{self.email}/token", self.token

    def reset(
        self,
        *,
        tickets: int = DEFAULT_TICKETS,
        seed: int = 1,
        profile: ProfileName = "open",
        rules: Mapping[str, int | str] | None = None,
    ) -> None:
        """Put the desk back as it was made. Another number of tickets, or another seed, is another desk."""
        if (tickets, seed) not in self._worlds:
            self._worlds[tickets, seed] = self._await(self._make(tickets, seed))
        self._await(self._end())
        self._store = self._worlds[tickets, seed].copy(system_clock)
        settings = Settings.of_profile(
            profile, page_cache_mib=0, test_clock=True, faults=True, **dict[str, Any](rules or {})
        )
        self._app = create_app(settings, self._store)

    def put(self, kind: str, *records: Mapping[str, Any]) -> None:
        """Store tickets or other records, as a load does: a change now, which can be read at once.

        `kind` is a plural name of the wire. Raises TicketfeedError for a record that is none.
        """
        drafts = [self._parse(kind, msgspec.json.encode(record)) for record in records]

        def work(write: WriteTransaction) -> None:
            write.put_records([draft for draft in drafts if isinstance(draft, RecordRow)])
            write.put_tickets([draft for draft in drafts if isinstance(draft, TicketDraft)])

        self._await(self._store.write(self._account(), work))
        self.clock.advance(1)  # over is the second that the change carries

    def get(self, path: str) -> Any:
        """What the admin is answered to a GET, parsed. Raises TicketfeedError for anything but a 200."""
        headers = [("authorization", f"Bearer {self.token}")]
        assert self._app is not None
        answer = self._await(call_app(self._app, path, host=f"{ACCOUNT}.localhost", headers=headers))
        if answer.status != 200:
            raise TicketfeedError(f"{path} is answered with {answer.status}: {answer.body.decode()}")
        return msgspec.json.decode(answer.body)

    def consumers(self) -> Sequence[ConsumerStatus]:
        """Who read an export since the test began, the last seen first: lag, gaps, repeats, loops."""

        async def look() -> Sequence[ConsumerStatus]:
            await self._service().usage_tracker.flush()
            return (await read_status(self._store, self._account(), now=system_clock())).consumers

        return self._await(look())

    def verdict(self, *, consumer: str | None = None, output: str | os.PathLike[str] | None = None) -> Verdict:
        """What was read since the test began, compared with the feed: PASS if all latest states were.

        `consumer`: the email or user agent of one, if several read. `output`: a file that the consumer wrote, which is
        compared with the feed, too. Raises TicketfeedError if that cannot be read.
        """
        options = VerdictOptions(consumer, read_output(os.fspath(output)) if output is not None else None)

        async def look() -> Verdict:
            await self._service().usage_tracker.flush()
            return await read_verdict(self._store, self._account(), now=system_clock(), options=options)

        return self._await(look())

    def requests(self) -> list[RequestRecord]:
        """The requests since the test began, newest first, 2,000 at most."""

        async def look() -> list[RequestRecord]:
            await self._service().usage_tracker.flush()
            return await self._store.read_requests(self._account())

        return self._await(look())

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command for which https://NAME.zendesk.com is this server; its output as text.

        `options` are those of subprocess.run. Needs the extra `tls`. Raises CalledProcessError, unless not `check`.
        """
        options = {"capture_output": True, "text": True, "timeout": RUN_SECONDS_MAX, **options}
        with self._wrapped({**os.environ, **(env or {})}) as environment:
            return subprocess.run(list(command), env=environment, check=check, **options)

    @contextmanager
    def _wrapped(self, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
        from ticketfeed.wrap.authority import make_authority
        from ticketfeed.wrap.services import RunPlan, wrapped_services

        plan = RunPlan(Settings(), make_authority(system_clock()), frozenset(), lambda _refused: None)
        opened = wrapped_services(self, plan, environ)
        services = self._await(opened.__aenter__())
        try:
            yield services.environment
        finally:
            self._await(opened.__aexit__(None, None, None))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application as it is now."""
        assert self._app is not None
        await self._app(scope, receive, send)

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _use_store(self, work: Callable[[MemoryStore, Account], Coroutine[Any, Any, object]]) -> None:
        """Run work that saves or replaces what is stored."""

        async def run() -> None:
            service = self._service()
            await service.usage_tracker.flush()
            await service.usage_tracker.flush_token_uses()
            await work(self._store, self._account())
            await service.clock_follower.follow()

        self._await(run())

    def _move_clock(self, move: ClockMove) -> None:
        async def work() -> None:
            service = self._service()
            await service.usage_tracker.flush_token_uses()
            await service.clock_follower.move(self._account(), move, system_clock())
            await service.maintenance.run_round()

        self._await(work())

    def _account(self) -> Account:
        return Account(1, ACCOUNT)

    def _service(self) -> Any:
        assert self._app is not None
        return self._app.state.service

    def _parse(self, kind: str, data: bytes) -> TicketDraft | RecordRow:
        if kind == "tickets":
            return parse_ticket(data, account=ACCOUNT, now=self.clock.now)
        if kind not in KINDS:
            raise TicketfeedError(f"there is no kind of record {kind!r}; there are: {', '.join(KINDS)}")
        return parse_record(kind, data, account=ACCOUNT, now=self.clock.now)

    async def _make(self, tickets: int, seed: int) -> MemoryStore:
        store = MemoryStore(system_clock)
        await fill_demo(store, await store.create_account(ACCOUNT), tickets, seed, system_clock())
        return store

    async def _end(self) -> None:
        if self._app is not None:
            await self._app.state.service.jobs.stop()


@contextmanager
def serve_desk(**desk: Any) -> Iterator[FeedServer]:
    """Serve a desk until the block ends; `desk` as for `FeedServer.reset`."""
    server = FeedServer()
    with ExitStack() as stack:
        bound = stack.enter_context(bind("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server._thread.start()
        stack.callback(_stop, server)
        server.reset(**desk)
        serving = QuietServer(server_config(server, None, lifespan="off", timeout_graceful_shutdown=1))
        running = asyncio.run_coroutine_threadsafe(serving.serve([bound]), server._loop)
        stack.callback(running.result)
        stack.callback(setattr, serving, "should_exit", True)
        yield server


def _stop(server: FeedServer) -> None:
    server._await(server._end())
    server._loop.call_soon_threadsafe(server._loop.stop)
    server._thread.join()
    server._loop.close()
