"""What a server and its commands leave on the disk can be read by their owner only; and the key of its sessions."""

import contextlib
import http.client
import os
import stat
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.process.conftest import PATH, Running, Start, run
from tests.waiting import SECONDS_MAX

SECRET = "a-token-of-the-test"


@pytest.fixture
def open_umask() -> object:
    """Files are readable by everybody unless their maker says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path, prefix: str) -> dict[str, int]:
    """Those of the files that are there; one may just come or go, as the journal of a sidecar does once a second."""
    found = {}
    for path in folder.iterdir():
        if path.name.startswith(prefix):
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = stat.S_IMODE(path.stat().st_mode)
    return found


def ask(server: Running, path: str, cookie: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """The status of an answer, the cookies that it sets, and its body."""
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=SECONDS_MAX)) as connection:
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("GET" if form is None else "POST", f"/_ticketfeed/{path}", urlencode(form or {}), headers)
        answer = connection.getresponse()
        cookies = SimpleCookie("; ".join(answer.headers.get_all("set-cookie") or []))
        return answer.status, {name: morsel.value for name, morsel in cookies.items()}, answer.read().decode()


def sign_in(server: Running) -> str:
    _, cookies, _ = ask(server, "login", "")
    token = cookies["ticketfeed_login"]
    form = {"csrf": token, "email": "a@example.com", "secret": SECRET}
    status, cookies, text = ask(server, "login", f"ticketfeed_login={token}", form)
    assert status == 303, text
    return f"ticketfeed_session={cookies['ticketfeed_session']}"


@pytest.mark.usefixtures("open_umask")
def test_files_are_private(serve: Start, tmp_path: Path) -> None:
    """Store, log, sidecar, session key, backup and restored store have mode 0600. The key outlives the server, and so
    do sessions, but not those that were signed out; a file without a key is refused. With --session-key none is made,
    and sessions of another key are over."""
    store = ("--store", "sqlite:///s.db")
    for arguments in (("generate", "10"), ("token", "create", "--email", "a@example.com", "--token", SECRET)):
        assert run(*arguments, *store, cwd=tmp_path).code == 0
    server = serve(*store, "--workers", "2")
    assert server.ask(f"{PATH}?start_time=0", SECRET).status == 200
    cookie, ended = sign_in(server), sign_in(server)
    csrf = ask(server, "", ended)[2].partition('name="csrf" value="')[2].partition('"')[0]
    assert {ask(server, "", ended)[0] for _ in range(6)} == {200}
    assert ask(server, "logout", ended, {"csrf": csrf})[0] == 303
    assert {ask(server, "", ended)[0] for _ in range(10)} == {303}  # whichever process is asked
    names = {"s.db", "s.db-session-key", "s.db-shm", "s.db-sidecar", "s.db-wal"}
    found = modes(tmp_path, "s.db")
    assert found.keys() - {"s.db-sidecar-journal"} == names
    assert set(found.values()) == {0o600}
    for arguments in (("backup", "b.db", *store), ("restore", "b.db", "--store", "sqlite:///r.db")):
        assert run(*arguments, cwd=tmp_path).code == 0
    assert modes(tmp_path, "b.db") | modes(tmp_path, "r.db") == {"b.db": 0o600, "r.db": 0o600}
    key = (tmp_path / "s.db-session-key").read_text().strip()
    assert len(key) > 40
    assert not [path for path in tmp_path.glob("*.db") if key.encode() in path.read_bytes()]
    assert server.end() == 0
    server = serve(*store)
    assert [ask(server, "", each)[0] for each in (cookie, ended)] == [200, 303]
    assert server.end() == 0
    (tmp_path / "s.db-session-key").write_text("short\n")
    assert "s.db-session-key holds no key" in run("serve", "--port", "0", *store, cwd=tmp_path).problem
    (tmp_path / "s.db-session-key").unlink()
    server = serve(*store, "--session-key", "another key of thirty-two characters")
    assert ask(server, "", cookie)[0] == 303
    assert not (tmp_path / "s.db-session-key").exists()
