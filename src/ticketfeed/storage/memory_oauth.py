"""OAuth in the store in memory: what is stored for an account, and its part of a write transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ticketfeed.protocol.oauth import KEEP_SECONDS, OAUTH_ID_MIN, AuthorizationCode, OauthClient, OauthToken
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.storage.oauth_contract import AccessToken

__all__ = ["MemoryOauthTransaction", "OauthData"]


@dataclass
class OauthData:
    """The OAuth clients, tokens and codes of one account."""

    clients: dict[int, OauthClient] = field(default_factory=dict)
    tokens: dict[int, OauthToken] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)

    def snapshot(self) -> "OauthData":
        return OauthData(dict(self.clients), dict(self.tokens), dict(self.codes))

    def find_client(self, identifier: str) -> OauthClient | None:
        return next((client for client in self.clients.values() if client.identifier == identifier), None)

    def find_access_token(self, access_hash: str, records: Mapping[tuple[str, int], RecordRow]) -> AccessToken | None:
        for token in self.tokens.values():
            if token.access_hash == access_hash and token.ended_at is None:
                client, user = self.clients.get(token.client_id), records.get(("users", token.user_id))
                if client is None or user is None:
                    return None
                who = token.id, token.client_id, token.scopes, token.expires_at, token.used_at
                return AccessToken(*who, client.allowed_scopes, user.body)
        return None


class MemoryOauthTransaction:
    """An OauthTransaction."""

    def __init__(self, oauth: OauthData, now: int) -> None:
        self._oauth, self.now = oauth, now
        self._bumps_record_changes = False

    def next_oauth_id(self) -> int:
        return max(*self._oauth.clients, *self._oauth.tokens, OAUTH_ID_MIN - 1, 0) + 1

    def find_client(self, identifier: str) -> OauthClient | None:
        return self._oauth.find_client(identifier)

    def find_client_by_id(self, client_id: int) -> OauthClient | None:
        return self._oauth.clients.get(client_id)

    def put_client(self, client: OauthClient) -> None:
        self._oauth.clients[client.id] = client
        self._bumps_record_changes = True

    def delete_client(self, client_id: int) -> bool:
        data = self._oauth
        data.tokens = {id: token for id, token in data.tokens.items() if token.client_id != client_id}
        data.codes = {hashed: code for hashed, code in data.codes.items() if code.client_id != client_id}
        self._bumps_record_changes = True
        return data.clients.pop(client_id, None) is not None

    def find_oauth_token(self, token_id: int) -> OauthToken | None:
        return self._oauth.tokens.get(token_id)

    def find_refresh_token(self, refresh_hash: str) -> OauthToken | None:
        return next((token for token in self._oauth.tokens.values() if token.refresh_hash == refresh_hash), None)

    def add_oauth_token(self, token: OauthToken) -> None:
        kept = self._oauth.tokens.items()
        self._oauth.tokens = {id: old for id, old in kept if old.keep_until is None or old.keep_until > self.now}
        self._oauth.tokens[token.id] = token

    def end_oauth_token(self, token_id: int) -> bool:
        return self._end([token_id]) > 0

    def end_family(self, family: int) -> int:
        return self._end([token.id for token in self._oauth.tokens.values() if token.family == family])

    def _end(self, token_ids: list[int]) -> int:
        self._bumps_record_changes = True
        ended = 0
        for id in token_ids:
            token = self._oauth.tokens.get(id)
            if token is not None and token.ended_at is None:
                keep = self.now + KEEP_SECONDS if token.keep_until is None else token.keep_until
                self._oauth.tokens[id] = replace(token, ended_at=self.now, keep_until=keep)
                ended += 1
        return ended

    def use_oauth_token(self, token_id: int, used_at: int) -> None:
        if token_id in self._oauth.tokens:
            self._oauth.tokens[token_id] = replace(self._oauth.tokens[token_id], used_at=used_at)

    def add_code(self, code: AuthorizationCode) -> None:
        kept, until = self._oauth.codes.items(), self.now - KEEP_SECONDS
        self._oauth.codes = {hashed: old for hashed, old in kept if old.expires_at > until}
        self._oauth.codes[code.code_hash] = code

    def find_code(self, code_hash: str) -> AuthorizationCode | None:
        return self._oauth.codes.get(code_hash)

    def use_code(self, code_hash: str, token_id: int) -> None:
        self._oauth.codes[code_hash] = replace(self._oauth.codes[code_hash], token_id=token_id)
