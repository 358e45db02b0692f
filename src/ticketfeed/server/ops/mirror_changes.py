"""What an admin changes of the account's mirror while it runs, by `POST /_ticketfeed/mirror` and on the dashboard."""

from ticketfeed.mirror.knobs import change_settings
from ticketfeed.protocol.errors import InvalidValue, RecordNotFound
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store

__all__ = ["change_mirror"]

REQUESTS_PER_MINUTE_MAX = 999_999_999


async def change_mirror(
    store: Store, account: Account, *, paused: bool | None = None, requests_per_minute: int | None = None
) -> None:
    """Store those that are given. Raises InvalidValue, and RecordNotFound for an account that is no mirror."""
    if requests_per_minute is not None and not 0 <= requests_per_minute <= REQUESTS_PER_MINUTE_MAX:
        raise InvalidValue(f"requests_per_minute must be a whole number from 0 to {REQUESTS_PER_MINUTE_MAX:,}")
    if await store.read_mirror(account) is None:
        raise RecordNotFound
    await change_settings(store, account, is_paused=paused, requests_per_minute=requests_per_minute)
