"""What an operator changes of a mirror, whether or not it runs: a running one reads it before each request."""

import msgspec

from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.mirrors import MirrorSettings
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["change_settings"]


async def change_settings(
    store: Store, account: Account, *, is_paused: bool | None = None, requests_per_minute: int | None = None
) -> MirrorSettings:
    """Store those that are given; returns all of them. Raises BadInput for an account that is no mirror."""
    given = {"is_paused": is_paused, "requests_per_minute": requests_per_minute}
    changes = {name: value for name, value in given.items() if value is not None}

    def work(transaction: WriteTransaction) -> MirrorSettings:
        mirror = transaction.mirror
        if mirror is None:
            raise BadInput(f"{account.subdomain} is no mirror")
        settings = msgspec.structs.replace(mirror.settings, **changes)
        transaction.put_mirror(msgspec.structs.replace(mirror, settings=settings))
        return settings

    return await store.write(account, work, mirror=True)
