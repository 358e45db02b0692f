"""What a server says of a mirror, and lets its admin change."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.desk import Desk
from tests.waiting import SECONDS_MAX, until
from ticketfeed.inprocess import call_app
from ticketfeed.server.app import create_app
from ticketfeed.server.ops.served_mirror import ServedMirror
from ticketfeed.settings import Settings
from ticketfeed.storage import open_store
from ticketfeed.writing.credentials import add_user_credential

TOKEN = "a-token-of-the-mirror-itself"


def test_addresses_of_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin of the mirror sees how it goes and changes it; readiness and metrics say the same; others may not."""
    for name in ("recent_reads.WAIT_SECONDS", "ops.health.PROBE_SECONDS"):
        monkeypatch.setattr(f"ticketfeed.server.{name}", SECONDS_MAX)

    async def main() -> None:
        desk = await Desk.make(20)
        desk.clock.now += 120
        await desk.run().run()
        copy = await desk.copy()
        await add_user_credential(desk.target, copy, "admin@example.com", "admin", "api_token", TOKEN, is_public=True)
        await desk.target.create_account("plain")
        app = create_app(Settings(page_cache_mib=0), desk.target, desk.clock.seconds)

        async def ask(
            target: str, body: Any = None, token: str = TOKEN, host: str = "copy.localhost"
        ) -> tuple[int, Any]:
            answer = await call_app(
                app,
                target,
                host=host,
                method="GET" if body is None else "POST",
                headers=[("authorization", f"Bearer {token}")],
                body=b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
            )
            is_json = answer.headers["content-type"].startswith("application/json")
            return answer.status, json.loads(answer.body) if is_json else answer.body.decode()

        status, shown = await ask("/_ticketfeed/mirror")
        assert (status, shown["account"], shown["source"]) == (200, "copy", "http://source.example")
        assert (shown["state"], shown["requests_per_minute"], shown["last_error"]) == ("stopped", 10, None)
        status, shown = await ask("/_ticketfeed/mirror", {"paused": True, "requests_per_minute": 7})
        assert (status, shown["requests_per_minute"]) == (200, 7)
        mirror = await desk.target.read_mirror(copy)
        assert mirror is not None
        assert (mirror.settings.is_paused, mirror.settings.requests_per_minute) == (True, 7)
        for bad in (b"", b"[]", b"{", {"paused": "yes"}, {"requests_per_minute": -1}, {"speed": 1}):
            assert (await ask("/_ticketfeed/mirror", bad))[0] == 400, bad
        assert (await ask("/_ticketfeed/mirror", token="wrong"))[0] == 401
        assert (await ask("/_ticketfeed/mirror", host="plain.localhost"))[0] == 401

        status, ready = await ask("/_ticketfeed/ready")
        assert status == 200
        told = {key: value for key, value in shown.items() if key != "account"}
        assert ready["mirror"] == {**told, "behind_seconds": ready["mirror"]["behind_seconds"]}
        assert 0 <= ready["mirror"]["behind_seconds"] - shown["behind_seconds"] <= 60

        status, metrics = await ask("/_ticketfeed/metrics")
        assert status == 200
        assert 'ticketfeed_mirror_state{account="copy",state="stopped"} 1.0' in metrics
        assert 'ticketfeed_mirror_requests_per_minute{account="copy"} 7.0' in metrics

        status, refused = await ask("/api/v2/tickets.json", {"ticket": {}})
        assert (status, refused["error"]) == (403, "Forbidden")
        assert refused["description"] == "This account mirrors http://source.example and is read-only"

    asyncio.run(main())


def test_a_source_that_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told and tried again, and neither ends the server nor keeps it from ending at once."""

    async def main() -> None:
        served = ServedMirror(await open_store("memory:"), f"sqlite:///{tmp_path}/none.db")
        served.start()
        await until(lambda: caplog.messages)
        await asyncio.wait_for(served.stop(), SECONDS_MAX / 2)  # not in a minute

    asyncio.run(main())
    (message,) = caplog.messages
    assert message.startswith("the mirror has ended, and is tried again in a minute: there is no store at ")
