"""The reads of a store on an engine with SQL, over two primitives: rows of a query, and a page of a feed."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from ticketfeed.protocol import paging
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.mirrors import Mirror, decode_mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Owner, Position, Slice, TicketList, Token
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.oauth import OauthClient, OauthToken
from ticketfeed.protocol.rows import (
    BodyRow,
    ChangeRow,
    FeedRow,
    LazyRows,
    LinkedTicketRow,
    ListRow,
    TicketRecordRow,
    columns_of,
)
from ticketfeed.protocol.saved_accounts import SavedAccount, saved_subdomain
from ticketfeed.protocol.search import SearchHit, SearchPart, SearchQuery
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.contract import Credential
from ticketfeed.storage.list_query import (
    count_records_sql,
    count_tickets_sql,
    list_records_sql,
    list_tickets_sql,
    slice_bindings,
    ticket_bindings,
)
from ticketfeed.storage.oauth_contract import AccessToken
from ticketfeed.storage.pool_status import PoolStatus
from ticketfeed.storage.queries import Queries, build, page_sql, translate
from ticketfeed.storage.search_query import SearchSteps, count_steps, search_steps
from ticketfeed.storage.shard_contract import AgedStatus
from ticketfeed.storage.sql_saved import SavedRow
from ticketfeed.storage.sql_session import no_account_row
from ticketfeed.storage.sql_shards import SqlShardStore
from ticketfeed.storage.sql_transaction import rewound_key

__all__ = ["SqlStore"]

T = TypeVar("T")
RowT = TypeVar("RowT", bound=tuple[Any, ...])
Fetch = Callable[..., Awaitable[list[Any]]]


class SqlStore(SqlShardStore):
    """The part of a Store that reads."""

    queries: Queries

    @abstractmethod
    async def _fetch(self, sql: str, bindings: dict[str, Any], *, current: bool, body: int | None = None) -> list[Any]:
        """All rows of a query, as tuples; a replica may answer where it need not be `current`.

        `body`: the column of the bodies of a query that ends one row after those that make a page (`page_sql`).
        """

    @abstractmethod
    async def _fetch_many(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:
        """As `_fetch`, from a replica too, for a query that may read many rows: it does not delay the event loop."""

    @abstractmethod
    async def _fetch_freely(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:
        """As `_fetch_many`, for a query that finds its rows by the search index."""

    @abstractmethod
    async def _read_feed(
        self, account: Account, name: str, row_type: type[RowT], bindings: dict[str, Any]
    ) -> tuple[StateRow, LazyRows[RowT]]:
        """The account's row, and the rows of a page in the same snapshot, up to the feed's watermark."""

    def read_pools(self) -> list[PoolStatus]:
        return []

    async def list_accounts(self, *, limit: int = INT64_MAX, current: bool = True) -> list[Account]:  # noqa: ARG002
        sql = self.queries.select("list_accounts", Account)
        return build(Account, await self._fetch(sql, {"limit": limit}, current=True))

    async def find_account(self, subdomain: str) -> Account | None:
        if "@" in subdomain:  # as those have that were saved, or are being copied or erased
            return None
        sql = self.queries.select("find_account", Account)
        return next(iter(build(Account, await self._fetch(sql, {"subdomain": subdomain}, current=True))), None)

    async def list_saved(self, account: Account) -> list[SavedAccount]:
        pattern = saved_subdomain(account, "%")
        rows = await self._fetch(self.queries["list_saved"], {"pattern": pattern}, current=True)
        found = [SavedRow(*row) for row in rows]
        states = [await self.read_state(Account(each.account_id, each.subdomain)) for each in found]
        return [each.saved(state) for each, state in zip(found, states, strict=True)]

    async def find_default_account(self) -> Account | None:
        sql = self.queries.select("find_default_account", Account)
        return next(iter(build(Account, await self._fetch(sql, {}, current=True))), None)

    async def count_erasures(self) -> int:
        ((count,),) = await self._fetch(self.queries["count_erasures"], {}, current=True)
        return int(count)

    async def read_clocks(self) -> dict[int, MovedClock]:
        return {account_id: MovedClock(*clock) for account_id, *clock in await self._list_all("list_clocks")}

    async def read_mirror(self, account: Account) -> Mirror | None:
        rows = await self._query("find_mirror", account, current=True)
        return decode_mirror(rows[0][0]) if rows else None

    async def read_mirrors(self) -> dict[int, Mirror]:
        return {account_id: decode_mirror(body) for account_id, body in await self._list_all("list_mirrors")}

    async def read_state(self, account: Account) -> FeedState:
        for row in await self._rows("read_state", StateRow, account, current=True):
            return row.tickets
        raise no_account_row(account)

    async def read_rewound_at(self, account: Account) -> int:
        rows = await self._fetch(
            self.queries["read_rewound_at"], {"name": rewound_key(account.account_id)}, current=True
        )
        return int(rows[0][0]) if rows else 0

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, Sequence[FeedRow]]:
        row_type: type[Any] = LinkedTicketRow if links else ChangeRow
        bindings = {
            "account_id": account.account_id,
            "after_timestamp": after.generated_timestamp,
            "after_id": after.id,
            "until": until,
            "exclude_deleted": filters.exclude_deleted,
            "scope": filters.support_type_scope,
            "limit": limit,
        }
        state, rows = await self._read_feed(account, "read_changes", row_type, bindings)
        return state.tickets, rows

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, Sequence[FeedRow]]:
        bindings = {
            "account_id": account.account_id,
            "kind": kind,
            "after_timestamp": after.generated_timestamp,
            "after_id": after.id,
            "until": until,
            "limit": limit,
        }
        state, rows = await self._read_feed(account, "read_record_changes", ChangeRow, bindings)
        return state.records, rows

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        rows = await self._query("read_invalidations", account, since=since)
        if not rows:  # a replica that does not have the account yet
            return FeedState(), []
        *columns, _, _ = rows[0]
        positions = [Position(second, id) for *_, second, id in rows if id is not None]
        return StateRow(*columns).tickets, positions

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        return await self._read_by_ids("read_records", BodyRow, account, ids, kind=kind)

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        return await self._read_by_ids("read_tickets", LinkedTicketRow, account, ids)

    async def _read_by_ids(
        self, name: str, row_type: type[T], account: Account, ids: Sequence[int], **bindings: Any
    ) -> list[T]:
        sql, bindings = self.queries.select(name, row_type), {"ids": self._list(ids), **bindings}
        return await self._page(partial(self._fetch, current=False), sql, "id", row_type, account, bindings)

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        return await self._rows("read_of_tickets", TicketRecordRow, account, kind=kind, ids=self._list(ticket_ids))

    async def list_tickets(
        self, account: Account, tickets: TicketList, part: Slice, *, bodies: bool = True
    ) -> Sequence[ListRow]:
        sql = list_tickets_sql(self.queries.dialect, tickets, part, bodies=bodies)
        bindings = {**ticket_bindings(self.queries.dialect, tickets), **slice_bindings(part)}
        return await self._list_page(self._fetch_list(tickets), sql, part, account, bindings)

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        dialect = self.queries.dialect
        bindings = {"account_id": account.account_id, **ticket_bindings(dialect, tickets)}
        sql = translate(dialect, count_tickets_sql(dialect, tickets))
        ((count,),) = await self._fetch_list(tickets)(sql, bindings)
        return int(count)

    def _fetch_list(self, tickets: TicketList) -> Fetch:
        return self._fetch_many if tickets.term is None else self._fetch_freely

    async def _list_page(
        self, fetch: Fetch, sql: str, part: Slice, account: Account, bindings: dict[str, Any]
    ) -> Sequence[ListRow]:
        direction = "DESC" if part.descending else "ASC"
        sql, order = translate(self.queries.dialect, sql), f"key {direction}, id {direction}"
        return await self._page(fetch, sql, order, ListRow, account, bindings)

    async def _page(
        self, fetch: Fetch, sql: str, order: str, row_type: type[T], account: Account, bindings: dict[str, Any]
    ) -> list[T]:
        """Rows with bodies, as many as a store reads at once; `order`: that of the query, by names of columns."""
        bindings = {"account_id": account.account_id, "page_bytes_max": paging.PAGE_BYTES_MAX, **bindings}
        columns = columns_of(row_type)
        sql = page_sql(self.queries.dialect, sql, order, columns)
        return build(row_type, await fetch(sql, bindings, body=columns.index("body")))

    async def list_records(
        self, account: Account, kind: str, part: Slice, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> Sequence[ListRow]:
        bindings = {"kind": kind, "owner_id": owner.id if owner else None, **slice_bindings(part)}
        sql = list_records_sql(part, owner, deleted=deleted)
        return await self._list_page(self._fetch_many, sql, part, account, bindings)

    async def count_records(
        self, account: Account, kind: str, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> int:
        bindings = {"kind": kind, "owner_id": owner.id if owner else None}
        sql = translate(self.queries.dialect, count_records_sql(owner, deleted=deleted))
        ((count,),) = await self._fetch_many(sql, {"account_id": account.account_id, **bindings})
        return int(count)

    async def search(self, account: Account, query: SearchQuery, part: SearchPart) -> list[SearchHit]:
        return await self._run_search(search_steps(self.queries.dialect, account, query, part))

    async def count_results(self, account: Account, query: SearchQuery) -> int:
        return await self._run_search(count_steps(self.queries.dialect, account, query))

    async def _run_search(self, steps: SearchSteps[T]) -> T:
        """Run the statements one after the other."""
        rows: list[Any] | None = None
        while True:
            try:
                sql, bindings = next(steps) if rows is None else steps.send(rows)
            except StopIteration as stop:
                result: T = stop.value
                return result
            rows = await self._fetch_freely(sql, bindings)

    async def read_of_users(self, account: Account, kind: str, user_ids: Sequence[int]) -> Sequence[BodyRow]:
        return await self._rows("read_of_users", BodyRow, account, kind=kind, ids=self._list(user_ids))

    async def read_external(self, account: Account, kind: str, external_ids: Sequence[str]) -> Sequence[BodyRow]:
        return await self._rows("read_external", BodyRow, account, kind=kind, external_ids=self._list(external_ids))

    async def read_by_key(self, account: Account, kind: str, keys: Sequence[str]) -> Sequence[BodyRow]:
        return await self._rows("read_by_key", BodyRow, account, kind=kind, keys=self._list(keys))

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        return dict(await self._query_many("count_comments", account, ids=self._list(ticket_ids)))

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        return dict(await self._query_many("count_incidents", account, ids=self._list(problem_ids)))

    async def list_aged(
        self, account: Account, status: AgedStatus, after: Position, until: int, limit: int
    ) -> list[Position]:
        bindings = {
            "account_id": account.account_id,
            "status": status,
            "after_timestamp": after.generated_timestamp,
            "after_id": after.id,
            "until": until,
            "limit": limit,
        }
        sql = self.queries.select("list_aged", Position)
        return build(Position, await self._fetch_batch(sql, bindings, account.account_id))

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        if ids is None:
            ids = [id for (id,) in await self._query("list_job_ids", account, current=True)]
        jobs = await self._rows("read_jobs", Job, account, current=True, ids=self._list(ids))
        results: dict[str, list[bytes]] = {job.id: [] for job in jobs}
        for job_id, result in await self._query("read_results", account, current=True, ids=self._list(ids)):
            results.setdefault(job_id, []).append(result)
        return [(job, results[job.id]) for job in jobs]

    async def list_open_jobs(self, account: Account) -> list[str]:
        return [id for (id,) in await self._query("list_open_jobs", account, current=True)]

    async def find_credential(self, account: Account, credential_id: int) -> Credential | None:
        return next(iter(await self._credentials("find_credential", account, id=credential_id)), None)

    async def find_token_user(self, account: Account, secret_hash: str) -> Credential | None:
        return next(iter(await self._credentials("find_token", account, secret_hash=secret_hash)), None)

    async def find_passwords(self, account: Account, email: str) -> list[Credential]:
        return await self._credentials("find_passwords", account, email=email)

    async def list_credentials(self, account: Account) -> list[Token]:
        return build(Token, await self._query("list_credentials", account, current=True))

    async def find_access_token(self, account: Account, access_hash: str) -> AccessToken | None:
        rows = await self._query("find_access_token", account, current=True, access_hash=access_hash)
        return next(iter(build(AccessToken, rows)), None)

    async def find_oauth_client(self, account: Account, identifier: str) -> OauthClient | None:
        rows = await self._rows("find_client", OauthClient, account, current=True, identifier=identifier)
        return next(iter(rows), None)

    async def find_oauth_token(self, account: Account, token_id: int) -> OauthToken | None:
        rows = await self._rows("find_oauth_token", OauthToken, account, current=True, id=token_id)
        return next((token for token in rows if token.ended_at is None), None)

    async def list_oauth_clients(self, account: Account) -> list[OauthClient]:
        return await self._rows("list_clients", OauthClient, account, current=True)

    async def list_oauth_tokens(self, account: Account) -> list[OauthToken]:
        return await self._rows("list_tokens", OauthToken, account, current=True)

    async def _credentials(self, name: str, account: Account, **bindings: Any) -> list[Credential]:
        return build(Credential, await self._query(name, account, current=True, **bindings))

    def _list(self, values: Sequence[Any]) -> Any:
        return self.queries.bind_list(values)

    async def _rows(
        self, name: str, row_type: type[T], account: Account, *, current: bool = False, **bindings: Any
    ) -> list[T]:
        sql, bindings = self.queries.select(name, row_type), {"account_id": account.account_id, **bindings}
        return build(row_type, await self._fetch(sql, bindings, current=current))

    async def _query(self, name: str, account: Account, *, current: bool = False, **bindings: Any) -> list[Any]:
        bindings = {"account_id": account.account_id, **bindings}
        return await self._fetch(self.queries[name], bindings, current=current)

    async def _query_many(self, name: str, account: Account, **bindings: Any) -> list[Any]:
        return await self._fetch_many(self.queries[name], {"account_id": account.account_id, **bindings})
