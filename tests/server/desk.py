"""A help desk behind the whole app, under a clock that stands still."""

import asyncio
import functools
import tempfile
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tests.citus import CitusServer
from tests.server.own_loop import OwnLoop
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.credentials import hash_password, hash_token
from ticketfeed.protocol.mirrors import Mirror, StreamState
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import CODE_SECONDS, AuthorizationCode
from ticketfeed.protocol.oauth_input import CLIENT_PARSER
from ticketfeed.protocol.oauth_views import client_view
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.server.app import create_app
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.settings import Settings
from ticketfeed.storage import open_store
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import CredentialKind, WriteTransaction
from ticketfeed.writing.oauth_clients import create_client

NOON = 1_700_000_000
PATH = "/api/v2/incremental/tickets/cursor"
ALL = f"{PATH}?start_time=0"


def basic(text: str | bytes) -> str:
    """An Authorization header with these credentials."""
    return "Basic " + b64encode(text.encode() if isinstance(text, str) else text).decode()


ADMIN = basic("admin@example.com/token:admin-token")


_engine = "memory"
_open: list[tuple[Store, Callable[[], None]]] = []


def use_engine(name: str) -> None:
    """From now on desks are made on this engine, one of HTTP_ENGINES."""
    global _engine
    _engine = name


@contextmanager
def closing_stores() -> Iterator[None]:
    """Close the stores of desks that are made inside: files are removed, one on Citus is emptied and used again."""
    kept = len(_open)
    try:
        yield
    finally:
        while len(_open) > kept:
            store, remove = _open.pop()
            asyncio.run(store.close())
            remove()


def _new_file() -> bytes:
    """An SQLite file with an empty store of its own: a copy, made in a tenth of the time that migrations take."""
    data, store_id = _empty_file()
    return data.replace(store_id, uuid.uuid4().hex.encode())


@functools.cache
def _empty_file() -> tuple[bytes, bytes]:
    """An SQLite file with an empty store, and the store's id in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        store = SqliteStore.open(path, lambda: NOON)
        asyncio.run(store.close())
        return path.read_bytes(), store.store_id.encode()


def _new_store(clock: Callable[[], int]) -> Store:
    if _engine == "memory":
        return MemoryStore(clock)
    store: Store
    if _engine == "citus":
        url, loop = _citus().new_store(), OwnLoop()
        store = loop.open(open_store(url, clock))

        def remove() -> None:
            loop.close()
            _citus().take_back([url])

    else:
        folder = tempfile.TemporaryDirectory(prefix="ticketfeed-")
        path = Path(folder.name) / "t.db"
        path.write_bytes(_new_file())
        store, remove = SqliteStore.open(path, clock), folder.cleanup
    _open.append((store, remove))
    return store


@functools.cache
def _citus() -> CitusServer:
    return CitusServer()


class Desk:
    """One account "acme" with an admin, unless told otherwise; `put` fills it, `ask` reads it over the wire."""

    def __init__(
        self,
        settings: Settings | None = None,
        accounts: Sequence[str] = ("acme",),
        limits: Limits = DEFAULT_LIMITS,
        mirror: Mirror | None = None,
    ) -> None:
        self.now, self._mirror = NOON, mirror
        self.store = _new_store(lambda: self.now)
        self.app = create_app(settings or Settings(), self.store, lambda: self.now, limits=limits)
        for name in accounts:
            account = asyncio.run(self.store.create_account(name))
            self.put("users", {"id": account.account_id, "email": "admin@example.com", "role": "admin"}, account=name)
            self.grant(account.account_id, "admin-token", account=name)

    def put(self, kind: str, *records: dict[str, Any], account: str = "acme") -> None:
        """Store tickets, at their own generated_timestamp where the account holds none yet, or other records.

        Those of a mirror come from its source, which has passed all of them.
        """

        def work(transaction: WriteTransaction) -> None:
            if self._mirror is not None:
                passed = StreamState(passed=self.now, has_ended=True)
                transaction.put_mirror(self._mirror.with_stream(kind, passed))
            for data in map(msgspec.json.encode, records if kind != "tickets" else ()):
                transaction.put_records([parse_record(kind, data, account=account, now=self.now)])
            if kind == "tickets":
                drafts = [parse_ticket(msgspec.json.encode(data), account=account, now=self.now) for data in records]
                keep = transaction.state.ticket_count == 0
                transaction.put_tickets(drafts, keep_generated_timestamp=keep)

        asyncio.run(self.store.write(self._account(account), work, mirror=self._mirror is not None))

    def grant(self, user_id: int, secret: str, kind: CredentialKind = "api_token", account: str = "acme") -> int:
        hashed = hash_token(secret) if kind == "api_token" else hash_password(secret)
        return asyncio.run(
            self.store.write(self._account(account), lambda write: write.add_credential(user_id, kind, hashed))
        )

    def revoke(self, credential_id: int) -> None:
        work = self.store.write(self._account("acme"), lambda write: write.revoke_credential(credential_id))
        assert asyncio.run(work)

    def ask(
        self,
        target: str = ALL,
        *,
        authorization: str | None = ADMIN,
        host: str | None = "acme.localhost",
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        scheme: str = "http",
        client: str = "127.0.0.1",
        body: bytes = b"",
    ) -> Answer:
        sent = [*headers, *([("Authorization", authorization)] if authorization is not None else [])]
        asked = call_app(
            self.app, target, host=host, method=method, headers=sent, scheme=scheme, client=client, body=body
        )
        return asyncio.run(asked)

    def send(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        expect: int = 200,
        headers: Sequence[tuple[str, str]] = (),
        authorization: str = ADMIN,
    ) -> Any:
        """Ask for a change, as the admin; the answer's body, parsed, which must have this status."""
        body = value if isinstance(value, bytes) else b"" if value is None else msgspec.json.encode(value)
        sent = [*headers, ("Authorization", authorization), ("Content-Type", "application/json")]
        asked = call_app(self.app, f"/api/v2{path}", host="acme.localhost", method=method, headers=sent, body=body)
        self.answer = asyncio.run(asked)
        assert self.answer.status == expect, self.answer
        return msgspec.json.decode(self.answer.body) if self.answer.body else None

    def make_client(self, identifier: str = "connector", secret: str = "secret", **values: Any) -> dict[str, Any]:
        """An OAuth client of the admin, made now."""
        sent = {"name": identifier, "identifier": identifier, **values}
        parsed = CLIENT_PARSER.convert(sent)
        work = self.store.write(self._account("acme"), lambda write: create_client(write, parsed, 1, secret))
        return client_view(asyncio.run(work), "acme")

    def ask_token(self, *, headers: Sequence[tuple[str, str]] = (), target: str = "", **values: Any) -> Answer:
        """What the token endpoint answers to these parameters, as JSON."""
        asked = {"client_id": "connector", "client_secret": "secret", "grant_type": "client_credentials", **values}
        body = msgspec.json.encode({key: value for key, value in asked.items() if value is not None})
        sent = [("content-type", "application/json"), *headers]
        target = f"/oauth/tokens{target}"
        return asyncio.run(call_app(self.app, target, host="acme.localhost", method="POST", headers=sent, body=body))

    def token(self, **values: Any) -> dict[str, Any]:
        """The same, which must be a 200."""
        answer = self.ask_token(**values)
        assert answer.status == 200, answer
        return msgspec.json.decode(answer.body, type=dict[str, Any])

    def add_code(self, code: str = "code", user_id: int = 1, scopes: str = "read write", **values: Any) -> None:
        """An authorization code of the client `connector`, as if the user had consented now."""

        def work(write: WriteTransaction) -> None:
            client = write.find_client("connector")
            assert client is not None
            ends = self.now + CODE_SECONDS
            made = AuthorizationCode(
                hash_token(code), client.id, user_id, scopes, "https://example.com/", None, None, ends, None
            )
            write.add_code(replace(made, **values))

        asyncio.run(self.store.write(self._account("acme"), work))

    def post(self, path: str, body: bytes, headers: Sequence[tuple[str, str]]) -> Answer:
        """Send a body with these headers and no others."""
        asked = call_app(self.app, f"/api/v2{path}", host="acme.localhost", method="POST", headers=headers, body=body)
        return asyncio.run(asked)

    def run_jobs(self) -> None:
        """Do what is left to do, as a serving process does when it starts."""
        jobs = Jobs(self.store)

        async def run() -> None:
            await jobs.resume()
            await jobs.wait()

        asyncio.run(run())

    def changes(self, since: int = 0) -> dict[int, dict[str, Any]]:
        """The incremental export once all is closed: ticket id -> ticket."""
        self.now += 2
        page = self.page(f"{PATH}?start_time={since}&support_type_scope=all")
        return {ticket["id"]: ticket for ticket in page["tickets"]}

    def page(self, target: str = ALL, **asked: Any) -> dict[str, Any]:
        """The body of an answer that must be a 200."""
        answer = self.ask(target, **asked)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body, type=dict[str, Any])

    def _account(self, name: str) -> Account:
        return next(found for found in asyncio.run(self.store.list_accounts()) if found.subdomain == name)


def tickets(*ids: int, second: int = NOON - 1000, **values: Any) -> list[dict[str, Any]]:
    """Tickets that all carry one second."""
    return [{"id": id, "generated_timestamp": second, **values} for id in ids]


def ids(page: dict[str, Any], kind: str = "tickets") -> list[int]:
    return [record["id"] for record in page[kind]]
