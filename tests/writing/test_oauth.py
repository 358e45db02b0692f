"""Tokens are issued, renewed and revoked: at any time a family has one live pair at most, and nothing revives it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.contract import NOON, ManualClock, user
from tests.storage.oauth_contract import CLIENT, CODE
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidClient, InvalidGrant, InvalidScope, UnauthorizedClient, WireError
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import NewSecrets, OauthToken
from ticketfeed.protocol.token_request import TokenRequest
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.oauth import ReusePolicy, issue_token

ROOT = Path(__file__).parents[2]
CODES = [replace(CODE, code_hash=hash_token(f"code-{n}"), challenge=None) for n in range(4)]


def prepare(write: WriteTransaction) -> None:
    write.put_client(CLIENT)
    write.put_records([user(7, "a@example.com")])
    for code in CODES:
        write.add_code(code)


def issuing(
    number: int, *, code: str | None = None, refresh_token: str | None = None, reuse: ReusePolicy = "refuse"
) -> Callable[[WriteTransaction], OauthToken | InvalidGrant]:
    """A request for the pair of tokens that have this number."""
    grant = "refresh_token" if refresh_token else "authorization_code" if code else "client_credentials"
    request = TokenRequest(
        grant, "connector", code=code, refresh_token=refresh_token, redirect_uri=CODE.redirect_uri, scope=None
    )
    secrets = NewSecrets(f"access-{number}", f"refresh-{number}")
    return lambda write: issue_token(write, CLIENT, request, secrets, reuse)


@pytest.mark.parametrize("reuse", ["refuse", "revoke_family"])
@settings(max_examples=60)
@given(steps=st.lists(st.tuples(st.sampled_from("crde"), st.integers(0, 7)), max_size=14))
def test_a_family_has_one_live_pair(reuse: ReusePolicy, steps: list[tuple[str, int]]) -> None:
    """Whatever codes and refresh tokens are sent, again and in any order: each works once, and its pair ends the last.

    With `revoke_family` a reuse ends the whole family, and with `refuse` it changes nothing.
    """

    async def main() -> None:
        store, live, spent = MemoryStore(ManualClock()), {}, {}  # refresh token -> its family
        account = await store.create_account("acme")
        await store.write(account, prepare)
        for number, (step, which) in enumerate(steps):
            name = f"code-{which % 4}" if step == "c" else f"refresh-{which}"
            if step == "d" and name in live:  # revoked by its owner
                spent[name] = family = live.pop(name)
                await store.write(account, lambda write, family=family: write.end_family(family))
                continue
            asked = {"code": name} if step == "c" else {"refresh_token": name}
            try:
                result = await store.write(account, issuing(number, reuse=reuse, **asked))
            except WireError as error:
                result = error
            is_new = name in live or (step == "c" and name not in spent)
            assert isinstance(result, OauthToken) == is_new
            if isinstance(result, OauthToken):
                live.pop(name, None)
                spent[name] = live[f"refresh-{number}"] = result.family
            elif reuse == "revoke_family" and name in spent:
                live = {token: family for token, family in live.items() if family != spent[name]}
            listed = await store.list_oauth_tokens(account)
            assert {token.family for token in listed} == set(live.values())
            assert len(listed) == len(live)

    asyncio.run(main())


def test_two_at_once(tmp_path: Path) -> None:
    """Of requests that renew one token at once, or exchange one code, one wins; its pair is the only one."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        await store.write(account, prepare)
        requests = [issuing(number, code="code-1") for number in range(10)]
        first = await _only_winner(store, account, requests)
        requests = [issuing(10 + number, refresh_token=f"refresh-{first}") for number in range(10)]
        await _only_winner(store, account, requests)
        await store.close()

    asyncio.run(main())


async def _only_winner(
    store: Store, account: Account, requests: list[Callable[[WriteTransaction], OauthToken | InvalidGrant]]
) -> int:
    writes = (store.write(account, request) for request in requests)
    results = await asyncio.gather(*writes, return_exceptions=True)
    (winner,) = (number for number, result in enumerate(results) if isinstance(result, OauthToken))
    assert sum(isinstance(result, InvalidGrant) for result in results) == len(requests) - 1
    assert await store.list_oauth_tokens(account) == [results[winner]]
    return winner


def test_what_is_refused() -> None:
    """A client that changed meanwhile, one that has no secret, a user who is gone; a refusal uses nothing up."""

    async def main() -> None:
        clock = ManualClock()
        store = MemoryStore(clock)
        account = await store.create_account("acme")
        await store.write(account, prepare)
        await store.write(account, issuing(1, code="code-1"))

        async def refused(change: Callable[[WriteTransaction], object], error: type[WireError], **asked: str) -> None:
            await store.write(account, change)
            with pytest.raises(error):
                await store.write(account, issuing(2, **asked))
            await store.write(account, prepare)

        renewal = {"refresh_token": "refresh-1"}
        suspended = user(7, "a@example.com", suspended=True)
        await refused(lambda write: write.put_client(replace(CLIENT, secret_hash="other")), InvalidClient)
        await refused(lambda write: write.put_client(replace(CLIENT, kind="public")), UnauthorizedClient)
        await refused(lambda write: write.put_records([suspended]), UnauthorizedClient)
        await refused(lambda write: write.put_records([suspended]), InvalidGrant, **renewal)
        await refused(lambda write: write.put_records([suspended]), InvalidGrant, code="code-2")
        await refused(lambda write: write.put_client(replace(CLIENT, allowed_scopes="write")), InvalidScope, **renewal)
        assert isinstance(await store.write(account, issuing(2, refresh_token="refresh-1")), OauthToken)
        clock.now = NOON + 120
        await refused(lambda _: None, InvalidGrant, code="code-3")
        await store.write(account, lambda write: write.delete_client(CLIENT.id))
        with pytest.raises(InvalidClient):
            await store.write(account, issuing(3, refresh_token="refresh-2"))

    asyncio.run(main())


KILLED = """
import asyncio, os, random, signal, sys, time
from pathlib import Path
from tests.storage.contract import ManualClock
from tests.writing.test_oauth import issuing, prepare
from ticketfeed.storage.sqlite.store import SqliteStore

path, rounds = Path(sys.argv[1]), int(sys.argv[2])


async def begin():
    store = SqliteStore.open(path, ManualClock())
    account = await store.create_account("acme")
    await store.write(account, prepare)
    await store.write(account, issuing(0, code="code-0"))
    await store.close()


async def renew():
    store = SqliteStore.open(path, ManualClock())
    (account,) = await store.list_accounts()
    while True:
        (token,) = await store.list_oauth_tokens(account)
        number = int(token.access_start.partition("-")[2])
        await store.write(account, issuing(number + 1, refresh_token=f"refresh-{number}"))
        os.write(writing, b".")


async def count():
    store = SqliteStore.open(path, ManualClock())
    (account,) = await store.list_accounts()
    print(*(token.access_start for token in await store.list_oauth_tokens(account)), flush=True)
    await store.close()


def fork(work):
    child = os.fork()
    if child == 0:
        asyncio.run(work())
        os._exit(0)
    return child


os.waitpid(fork(begin), 0)
for _ in range(rounds):
    reading, writing = os.pipe()
    child = fork(renew)
    for _ in range(2):
        os.read(reading, 1)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.close(reading)
    os.close(writing)
    os.waitpid(fork(count), 0)
"""


def test_a_renewal_that_is_killed(tmp_path: Path) -> None:
    """After a SIGKILL in the midst of renewals there is one live pair, never two and never none, and it renews."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "t.db"), "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    numbers = [int(line.partition("-")[2]) for line in done.stdout.splitlines()]
    assert len(numbers) == 10
    assert numbers == sorted(numbers)
    assert numbers[-1] > 10
