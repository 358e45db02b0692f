"""Mirrors as they are stored, for tests of what a server says of them."""

import asyncio
import time
from typing import Any

import msgspec

from tests.server.desk import NOON, Desk
from ticketfeed.mirror.lease import LeaseHolder
from ticketfeed.mirror.schedule import COMMENT_STREAMS, MIRROR_STREAMS
from ticketfeed.protocol.mirrors import Mirror, MirrorStatus, StreamState

SOURCE = "https://acme.zendesk.com"


def mirror_of(behind: float = 5, source: str = SOURCE, **values: Any) -> Mirror:
    """One that has reached the end of every stream, the last time so many seconds ago; this process walks."""
    now = time.time()
    asked = StreamState(passed=NOON, copied=7, applied=3, has_ended=True, is_copied=True, asked_at=now - behind)
    names = [stream.name for stream in (*MIRROR_STREAMS, *COMMENT_STREAMS)]
    status = MirrorStatus("following", behind_changes=0, eta_seconds=0, verified_at=NOON, differences=0)
    made = Mirror(source, streams=dict.fromkeys(names, asked), status=status, lease=LeaseHolder(now).lease(now))
    return msgspec.structs.replace(made, **values)


def put(desk: Desk, mirror: Mirror, account: str = "acme") -> None:
    [found] = [each for each in asyncio.run(desk.store.list_accounts()) if each.subdomain == account]
    asyncio.run(desk.store.write(found, lambda write: write.put_mirror(mirror), mirror=True))
