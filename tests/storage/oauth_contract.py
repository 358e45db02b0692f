"""OAuth on every engine: clients, tokens and codes are found by their hashes until they end."""

from dataclasses import replace

from tests.storage.contract import NOON, ManualClock, StoreCase, user
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import (
    KEEP_SECONDS,
    OAUTH_ID_MIN,
    AuthorizationCode,
    Lifetimes,
    NewSecrets,
    OauthClient,
    OauthToken,
    make_token,
)
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

CLIENT = OauthClient(
    id=OAUTH_ID_MIN,
    identifier="connector",
    kind="confidential",
    name="Conn\u00e9ctor",
    user_id=7,
    secret_hash="hash",
    secret_start="secret",
    redirect_uris="https://example.com/a https://example.com/b",
    allowed_scopes=None,
    company=None,
    description="d",
    logo_url=None,
    created_at=NOON,
    updated_at=NOON,
)
CODE = AuthorizationCode("code-hash", CLIENT.id, 7, "read", "https://example.com/a", "c", None, NOON + 120, None)


def token(id: int, expires_in: int | None = 1800, *, family: int | None = None, refresh: bool = True) -> OauthToken:
    secrets = NewSecrets(f"access-{id}", f"refresh-{id}" if refresh else None)
    return make_token(id, CLIENT, 7, "read", secrets, Lifetimes(expires_in), NOON, family=family)


class OauthContract(StoreCase):
    """For test modules of backends: see StoreContract."""

    def test_clients(self) -> None:
        """A client is found by identifier and id in its own account, replaced, and deleted with all it was given."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            changed = replace(CLIENT, allowed_scopes="read", secret_hash=None, kind="public", updated_at=NOON + 5)

            def work(write: WriteTransaction) -> None:
                assert (write.next_oauth_id(), write.find_client("connector")) == (OAUTH_ID_MIN, None)
                write.put_client(CLIENT)
                write.add_oauth_token(token(OAUTH_ID_MIN + 1))
                write.add_code(CODE)
                assert write.next_oauth_id() == OAUTH_ID_MIN + 2
                assert write.find_client("connector") == write.find_client_by_id(CLIENT.id) == CLIENT
                assert write.find_client_by_id(CLIENT.id + 1) is None

            await store.write(account, work)
            assert await store.list_oauth_clients(account) == [CLIENT]
            assert (await store.list_oauth_clients(other), await store.list_oauth_tokens(other)) == ([], [])
            assert await store.find_oauth_client(other, "connector") is None
            await store.write(account, lambda write: write.put_client(changed))
            assert await store.find_oauth_client(account, "connector") == changed
            assert await store.write(account, lambda write: write.delete_client(CLIENT.id))
            assert not await store.write(account, lambda write: write.delete_client(CLIENT.id))
            assert (await store.list_oauth_clients(account), await store.list_oauth_tokens(account)) == ([], [])
            assert await store.write(account, lambda write: write.find_code(CODE.code_hash)) is None

        self.run(scenario)

    def test_tokens(self) -> None:
        """An access token is found with its user and what its client is allowed, until it ends; its row stays."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            first, second = token(20), token(21, family=20)
            lasting = token(22, None, refresh=False)

            def work(write: WriteTransaction) -> None:
                write.put_client(CLIENT)
                for each in (first, second, lasting):
                    write.add_oauth_token(each)
                write.put_records([user(7, "a@example.com")])

            await store.write(account, work)
            found = await store.find_access_token(account, first.access_hash)
            assert found is not None
            assert found[:-1] == (20, CLIENT.id, "read", NOON + 1800, None, None)
            assert b"a@example.com" in found.user
            assert await store.find_access_token(account, first.refresh_hash or "") is None
            await store.write(account, lambda write: write.put_client(replace(CLIENT, allowed_scopes="write")))
            await store.write(account, lambda write: write.use_oauth_token(20, NOON + 9))
            found = await store.find_access_token(account, first.access_hash)
            assert found is not None
            assert (found.used_at, found.allowed_scopes) == (NOON + 9, "write")
            before = (await store.read_state(account)).record_changes
            assert await store.find_oauth_token(account, 20) == replace(first, used_at=NOON + 9)
            assert await store.find_oauth_token(account, 19) is None
            assert await store.write(account, lambda write: write.end_oauth_token(20))
            assert await store.find_oauth_token(account, 20) is None
            assert not await store.write(account, lambda write: write.end_oauth_token(20))
            assert (await store.read_state(account)).record_changes > before
            assert await store.find_access_token(account, first.access_hash) is None
            ended = replace(first, ended_at=NOON, used_at=NOON + 9)
            assert await store.write(account, lambda write: write.find_refresh_token(first.refresh_hash or "")) == ended
            assert await store.list_oauth_tokens(account) == [second, lasting]
            assert await store.write(account, lambda write: write.end_family(20)) == 1
            assert await store.write(account, lambda write: write.end_family(22)) == 1
            assert await store.list_oauth_tokens(account) == []
            forgotten = await store.write(account, lambda write: write.find_oauth_token(22))
            assert forgotten is not None
            assert forgotten.keep_until == NOON + KEEP_SECONDS
            clock.now = forgotten.keep_until
            await store.write(account, lambda write: write.add_oauth_token(token(30)))
            assert await store.write(account, lambda write: write.find_oauth_token(22)) is None
            assert await store.write(account, lambda write: write.find_oauth_token(20)) is not None

        self.run(scenario)

    def test_a_token_without_its_user_or_client(self) -> None:
        """It is not found, and a snapshot names it."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            async def findings() -> list[tuple[str, int, str, int]]:
                return sorted(await store.inspect(lambda snapshot: list(snapshot.dangling_oauth(account))))

            await store.write(account, lambda write: write.add_oauth_token(token(20)))
            assert await findings() == [("token", 20, "client", CLIENT.id), ("token", 20, "user", 7)]
            assert await store.find_access_token(account, token(20).access_hash) is None
            await store.write(account, lambda write: write.put_client(CLIENT))
            assert await findings() == [("client", CLIENT.id, "user", 7), ("token", 20, "user", 7)]
            assert await store.find_access_token(account, token(20).access_hash) is None
            await store.write(account, lambda write: write.put_records([user(7)]))
            assert await findings() == []

        self.run(scenario)

    def test_codes(self) -> None:
        """A code is found with the token that it was exchanged for, and forgotten some days later."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, lambda write: write.add_code(CODE))
            await store.write(account, lambda write: write.use_code(CODE.code_hash, 5))
            found = await store.write(account, lambda write: write.find_code(CODE.code_hash))
            assert found == replace(CODE, token_id=5)
            clock.now = CODE.expires_at + KEEP_SECONDS
            await store.write(account, lambda write: write.add_code(replace(CODE, code_hash="other")))
            assert await store.write(account, lambda write: write.find_code(CODE.code_hash)) is None

        self.run(scenario)
