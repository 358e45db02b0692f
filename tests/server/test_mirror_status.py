"""What a server says of its mirrors, and what can be changed there: ready, metrics, the dashboard."""

import asyncio
import json
import os
import re
import socket
import time
from typing import Any

import pytest

from tests.server.browser import BASE, Browser
from tests.server.desk import NOON, Desk, basic
from tests.server.mirrored import SOURCE, mirror_of, put
from tests.server.test_ops import METRICS_PATH, TOKEN, away, replaced, samples
from ticketfeed.inprocess import Answer
from ticketfeed.mirror.schedule import MIRROR_STREAMS
from ticketfeed.mirror.status import STATES
from ticketfeed.protocol.mirrors import Lease, Mirror, MirrorSettings, MirrorStatus
from ticketfeed.server.ops import health
from ticketfeed.settings import Settings

KEYS = [
    "source",
    "state",
    "reason",
    "copied",
    "applied",
    "behind_seconds",
    "behind_changes",
    "requests_per_minute",
    "requests_used",
    "eta_seconds",
    "last_error",
    "verified_at",
    "differences",
]


def ready(desk: Desk) -> tuple[int, str | None, dict[str, Any] | None]:
    """(status, what was checked of mirrors, what is said of one), without anything cached.

    Asked again where the machine is so busy that a look at the store takes longer than a probe waits.
    """
    is_away = "inspect" in vars(desk.store)
    for _ in range(20):
        desk.app.state.service.recent_reads._reads.clear()
        answer = desk.ask("/_ticketfeed/ready", authorization=None)
        body = json.loads(answer.body)
        if is_away or body["checks"]["store"] == "ok":
            break
    return answer.status, body["checks"].get("mirror"), body.get("mirror")


def test_ready_tells_of_the_mirror() -> None:
    """The members that others rely on, in order; without a mirror there are none. It depends on none by itself."""
    assert ready(Desk()) == (200, None, None)
    desk = Desk(mirror=Mirror(SOURCE))
    put(desk, mirror_of(9000))
    status, checked, said = ready(desk)
    assert (status, checked) == (200, None)
    assert said is not None
    assert list(said) == KEYS
    assert (said["source"], said["state"], said["copied"]) == (SOURCE, "following", 7 * len(MIRROR_STREAMS) + 14)
    assert 9000 <= said["behind_seconds"] <= 9100


@pytest.mark.parametrize(
    ("mirrors", "status", "checked"),
    [
        ((), 503, "there is none yet"),
        (({"behind": 10},), 200, "ok"),
        (({}, {"behind": 3000}), 503, r"3,0\d\d s behind its source"),
        (({}, {"streams": {}}), 503, "the first copy has begun"),
        (({}, {"behind": 3000, "closed_at": NOON}), 200, "ok"),
        (({"behind": 3000, "closed_at": NOON},), 200, "ok"),
        (({"behind": 3000, "settings": MirrorSettings(is_paused=True)},), 503, r"3,0\d\d s behind its source"),
    ],
)
def test_ready_where_mirrors_must_be_fresh(mirrors: tuple[dict[str, Any], ...], status: int, checked: str) -> None:
    """With `mirror_fresh_seconds` every mirror has to be; archives are not mirrors any more."""
    names = ("acme", "other")[: len(mirrors)] or ("acme",)
    desk = Desk(Settings(mirror_fresh_seconds=120), accounts=names, mirror=Mirror(SOURCE) if mirrors else None)
    for name, values in zip(names, mirrors, strict=False):
        put(desk, mirror_of(**values), name)
    found = ready(desk)
    assert found[0] == status
    assert re.fullmatch(checked, found[1] or "")


def test_ready_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror is as old as it was known to be, and grows older; one that is not known is not fresh."""
    desk = Desk(Settings(mirror_fresh_seconds=120), mirror=Mirror(SOURCE))
    put(desk, mirror_of(0))
    replaced(desk, inspect=away)
    assert ready(desk) == (503, "unknown", None)
    del desk.store.inspect  # type: ignore[attr-defined]
    assert ready(desk)[:2] == (200, "ok")
    replaced(desk, inspect=away)
    assert ready(desk)[:2] == (200, "ok")
    monkeypatch.setattr(health, "system_instant", lambda: time.time() + 3600)
    status, checked, _ = ready(desk)
    assert status == 503
    assert re.fullmatch(r"3,6\d\d s behind its source", checked or "")


def test_metrics() -> None:
    """Each number of the status, by account; an unknown one is left out, and so is what an archive has not."""
    desk = Desk(Settings(metrics_token=TOKEN), accounts=("acme", "other"), mirror=Mirror(SOURCE))
    status = MirrorStatus("waiting", behind_changes=12, verified_at=NOON, differences=2)
    put(desk, mirror_of(30, status=status))
    put(desk, mirror_of(3000, closed_at=NOON), "other")
    found = samples(desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}"))
    own = {
        name.removeprefix("ticketfeed_mirror_"): value for (name, labels), value in found.items() if labels == ("acme",)
    }
    assert 30 <= own["behind_seconds"] <= 130
    expected = {"copied_total": 7 * len(MIRROR_STREAMS) + 14, "behind_changes": 12, "requests_per_minute": 10}
    expected |= {"requests_used": 0, "verified_timestamp_seconds": NOON, "differences": 2}
    assert expected.items() <= own.items()
    assert "eta_seconds" not in own
    assert {name: found["ticketfeed_mirror_state", ("acme", name)] for name in STATES} == dict.fromkeys(STATES, 0.0) | {
        "waiting": 1.0
    }
    assert found["ticketfeed_mirror_info", ("acme", SOURCE)] == 1
    assert found["ticketfeed_mirror_state", ("other", "archived")] == 1
    assert ("ticketfeed_mirror_behind_seconds", ("other",)) not in found
    replaced(desk, inspect=away, read_mirrors=away)
    desk.app.state.service.recent_reads._reads.clear()
    assert not [
        name for name, _ in samples(desk.ask(METRICS_PATH, authorization=f"Bearer {TOKEN}")) if "mirror" in name
    ]


def test_metrics_of_an_admin() -> None:
    """An admin is told of no other account's mirror."""
    desk = Desk(accounts=("acme", "other"), mirror=Mirror(SOURCE))
    put(desk, mirror_of(), "other")
    assert {labels[0] for name, labels in samples(desk.ask(METRICS_PATH)) if "mirror" in name} == {"acme"}


def test_the_dashboard_shows_and_changes_it() -> None:
    """State, reason, numbers and the last error; pause, resume and budget are forms, and nothing else is accepted."""
    desk = Desk(mirror=Mirror(SOURCE))
    status = MirrorStatus("waiting", reason="503 <again>", behind_changes=12, last_error="was <away>", eta_seconds=600)
    put(desk, mirror_of(3000, status=status))
    browser = Browser(desk)
    browser.sign_in()
    page = browser.go().body.decode()
    for shown in (
        "waiting",
        "503 &lt;again&gt;",
        "50 minutes",
        "12 changes",
        "10 minutes left",
        "was &lt;away&gt;",
        "91 records",
    ):
        assert shown in page, shown
    csrf = browser.field("csrf")
    account = asyncio.run(desk.store.list_accounts())[0]

    def settings() -> MirrorSettings | None:
        mirror = asyncio.run(desk.store.read_mirror(account))
        return mirror and mirror.settings

    assert browser.go("change_mirror", {"csrf": csrf, "paused": "true"}).headers["location"] == f"{BASE}#mirror"
    assert settings() == MirrorSettings(None, is_paused=True)
    assert ">paused<" in browser.go().body.decode()
    browser.go("change_mirror", {"csrf": csrf, "requests_per_minute": "30"})
    browser.go("change_mirror", {"csrf": csrf, "paused": "false"})
    assert settings() == MirrorSettings(30)
    for form in (
        {"requests_per_minute": "-1"},
        {"requests_per_minute": "many"},
        {"requests_per_minute": str(10**12)},
        {"paused": "perhaps"},
    ):
        assert browser.go("change_mirror", {"csrf": csrf, **form}).status == 400, form
    assert browser.go("change_mirror", {"csrf": "x", "paused": "true"}).status == 403
    assert settings() == MirrorSettings(30)


def test_changes_over_http() -> None:
    """The same for programs: an admin's changes are stored, and answered with the status; others are refused."""
    desk = Desk(mirror=Mirror(SOURCE))
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    put(desk, mirror_of())

    def post(body: bytes, **options: Any) -> Answer:
        headers = [("Content-Type", "application/json")]
        return desk.ask("/_ticketfeed/mirror", method="POST", headers=headers, body=body, **options)

    changed = json.loads(post(b'{"paused":true,"requests_per_minute":30}').body)
    assert list(changed) == ["account", *KEYS]
    assert (changed["state"], changed["requests_per_minute"]) == ("paused", 30)
    for body in (
        b"{",
        b"[]",
        b'{"paused":1}',
        b'{"requests_per_minute":-1}',
        b'{"requests_per_minute":1e9}',
        b'{"x":1}',
    ):
        assert post(body).status == 400, body
    assert post(b"{}", authorization=basic("agent@example.com/token:agent-token")).status == 403
    assert post(b"{}", authorization=None).status == 401
    assert json.loads(desk.ask("/_ticketfeed/mirror").body)["state"] == "paused"
    assert Desk().ask("/_ticketfeed/mirror").status == 404


def test_an_archive_on_the_dashboard() -> None:
    """It says when it was closed, and there is nothing to change; an account of its own has no such part."""
    desk = Desk(accounts=("acme", "other"), mirror=mirror_of(closed_at=NOON))
    put(desk, mirror_of(closed_at=NOON))
    page = desk.ask(BASE).body.decode()
    assert f"An archive of <strong>{SOURCE}</strong>, closed on <strong>2023-11-14 22:13:20 UTC</strong>" in page
    assert "archived" in page
    assert "Behind its source" not in page
    assert "change_mirror" not in page
    own = Desk()
    browser = Browser(own)
    browser.sign_in()
    assert 'id="mirror"' not in browser.go().body.decode()
    assert browser.go("change_mirror", {"csrf": browser.field("csrf"), "paused": "true"}).status == 404


def test_a_process_that_has_ended() -> None:
    """A mirror whose process is gone is stopped, whatever it said last."""
    desk = Desk(mirror=Mirror(SOURCE))
    gone = Lease("x", socket.gethostname(), 2**22 + os.getpid(), 0.0, time.time())
    put(desk, mirror_of(lease=gone))
    said = ready(desk)[2]
    assert said is not None
    assert (said["state"], said["reason"]) == ("stopped", "the process has ended")
