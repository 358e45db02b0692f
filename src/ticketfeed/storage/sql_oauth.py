"""OAuth in a write transaction on an engine with SQL, and the queries of any such transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, TypeVar

from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import KEEP_SECONDS, OAUTH_ID_MIN, AuthorizationCode, OauthClient, OauthToken
from ticketfeed.storage.sql_session import SqlSession

__all__ = ["SqlOauthTransaction"]

T = TypeVar("T")


class SqlOauthTransaction:
    """An OauthTransaction. `_bumps_record_changes`: whether cached identities must be looked up again."""

    def __init__(self, session: SqlSession, account: Account, now: int) -> None:
        self._session, self._account_id, self.now = session, account.account_id, now
        self.account_id = account.account_id
        self._bumps_record_changes = False

    def next_oauth_id(self) -> int:
        return max(int(self._value("max_oauth_id")) + 1, OAUTH_ID_MIN)

    def find_client(self, identifier: str) -> OauthClient | None:
        return next(iter(self._rows("find_client", OauthClient, identifier=identifier)), None)

    def find_client_by_id(self, client_id: int) -> OauthClient | None:
        return next(iter(self._rows("find_client_by_id", OauthClient, id=client_id)), None)

    def put_client(self, client: OauthClient) -> None:
        self._insert("oauth_client", client, key=("id",))
        self._bumps_record_changes = True

    def delete_client(self, client_id: int) -> bool:
        self._execute("delete_codes_of_client", id=client_id)
        self._execute("delete_tokens_of_client", id=client_id)
        self._bumps_record_changes = True
        return self._count("delete_client", id=client_id) > 0

    def find_oauth_token(self, token_id: int) -> OauthToken | None:
        return next(iter(self._rows("find_oauth_token", OauthToken, id=token_id)), None)

    def find_refresh_token(self, refresh_hash: str) -> OauthToken | None:
        return next(iter(self._rows("find_refresh_token", OauthToken, refresh_hash=refresh_hash)), None)

    def add_oauth_token(self, token: OauthToken) -> None:
        self._execute("forget_tokens", now=self.now)
        self._insert("oauth_token", token)

    def end_oauth_token(self, token_id: int) -> bool:
        return self._end("end_token", id=token_id) > 0

    def end_family(self, family: int) -> int:
        return self._end("end_family", family=family)

    def _end(self, name: str, **bindings: Any) -> int:
        self._bumps_record_changes = True
        return self._count(name, ended_at=self.now, keep_until=self.now + KEEP_SECONDS, **bindings)

    def use_oauth_token(self, token_id: int, used_at: int) -> None:
        self._execute("use_token", id=token_id, used_at=used_at)

    def add_code(self, code: AuthorizationCode) -> None:
        self._execute("forget_codes", until=self.now - KEEP_SECONDS)
        self._insert("oauth_code", code)

    def find_code(self, code_hash: str) -> AuthorizationCode | None:
        return next(iter(self._rows("find_code", AuthorizationCode, code_hash=code_hash)), None)

    def use_code(self, code_hash: str, token_id: int) -> None:
        self._execute("use_code", code_hash=code_hash, token_id=token_id)

    def _insert(self, table: str, row: Any, *, key: tuple[str, ...] = ()) -> None:
        self._session.put_rows(table, type(row), self._account_id, [astuple(row)], key)

    def _list(self, values: Sequence[Any]) -> Any:
        return self._session.queries.bind_list(values)

    def _fetch(self, name: str, **bindings: Any) -> list[Any]:
        return self._session.fetch(self._session.queries[name], self._bind(bindings))

    def _rows(self, name: str, row_type: type[T], **bindings: Any) -> list[T]:
        return self._session.rows(name, row_type, self._bind(bindings))

    def _value(self, name: str, **bindings: Any) -> Any:
        return self._session.value(name, self._bind(bindings))

    def _body(self, name: str, **bindings: Any) -> bytes | None:
        body: bytes | None = self._value(name, **bindings)
        return body

    def _execute(self, name: str, **bindings: Any) -> None:
        self._session.execute(name, self._bind(bindings))

    def _count(self, name: str, **bindings: Any) -> int:
        return self._session.count(name, self._bind(bindings))

    def _bind(self, bindings: dict[str, Any]) -> Mapping[str, Any]:
        return {"account_id": self._account_id, **bindings}
