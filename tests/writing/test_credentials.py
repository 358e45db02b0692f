"""Creating credentials."""

import asyncio

import pytest

from ticketfeed.protocol.errors import BadInput
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import CredentialKind
from ticketfeed.writing.credentials import add_user_credential


def test_least_length() -> None:
    """A token has 16 characters or more, a password 8; only the well-known tokens of a demo may be shorter."""
    store = MemoryStore()
    account = asyncio.run(store.create_account("acme"))

    def add(kind: CredentialKind, secret: str, *, is_public: bool = False) -> int:
        work = add_user_credential(store, account, "a@example.com", None, kind, secret, is_public=is_public)
        return asyncio.run(work)

    kinds: list[tuple[CredentialKind, int]] = [("api_token", 16), ("password", 8)]
    for kind, chars_min in kinds:
        with pytest.raises(BadInput, match=f"too short: use {chars_min} characters or more"):
            add(kind, "x" * (chars_min - 1))
        assert add(kind, "x" * chars_min) > 0
        assert add(kind, "short", is_public=True) > 0
