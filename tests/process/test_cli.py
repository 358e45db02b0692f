"""Every command as a real process: what it prints, how it exits, and how it refuses what is wrong."""

import contextlib
import gzip
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.conftest import COMMAND, ENVIRONMENT, PATH, TICKETS, Start, run, run_program
from tests.waiting import SECONDS_MAX, wait_until

ALL = f"{PATH}?start_time=0"


def rows(store: Path) -> list[Any]:
    """All that a store holds; of the search index the tables that it is stored in."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    connection = sqlite3.connect(store)
    try:
        names = [name for (name,) in connection.execute(query)]
        return [(name, *row) for name in names for row in connection.execute(f'SELECT * FROM "{name}"')]
    finally:
        connection.close()


GOOD = b'{"id":1000001}\n'
CREATE = ("token", "create", "--email")


def lines(count: int, first: int = 1) -> bytes:
    return b"".join(b'{"id":%d,"generated_timestamp":1000}\n' % number for number in range(first, first + count))


def test_migrate(tmp_path: Path) -> None:
    """What a store lacks is listed, each with whether it is additive, and with --dry-run nothing is applied."""
    store = tmp_path / "old.db"
    url = ("--store", f"sqlite:///{store}")
    assert run("migrate", *url, "--dry-run", cwd=tmp_path).out == b"there is no store yet\n"
    assert not store.exists()
    assert run("migrate", *url, cwd=tmp_path).out == b"the schema is up to date; 0 accounts\n"
    connection = sqlite3.connect(store)
    connection.execute("DROP TABLE account_clock")
    connection.execute("DELETE FROM migration WHERE number = 11")
    connection.commit()
    before = rows(store)
    listed = b"0011_account_clock.sql\tnot additive\n"
    assert run("migrate", *url, "--dry-run", cwd=tmp_path).out == listed + b"1 migration to apply\n"
    assert rows(store) == before
    assert run("migrate", *url, cwd=tmp_path).out == listed + b"the schema is up to date; 0 accounts\n"
    assert run("migrate", *url, "--dry-run", cwd=tmp_path).out == b"0 migrations to apply\n"
    connection.execute("INSERT INTO migration VALUES (9999, 'future')")
    connection.commit()
    connection.close()
    for arguments, problem in ((url, "newer ticketfeed"), (("--store", "nosuch://x"), "unknown store URL scheme")):
        refused = run("migrate", *arguments, "--dry-run", cwd=tmp_path)
        assert (refused.code, refused.out, problem in refused.err) == (2, b"", True)


def test_a_store_from_nothing(tmp_path: Path) -> None:
    """The commands in the order of a first day: account, token, load, get, list, revoke."""

    def done(*arguments: str, code: int = 0, **options: bytes) -> str:
        result = run(*arguments, cwd=tmp_path, **options)
        assert result.code == code, result
        return result.out.decode()

    assert done("account", "create", "acme") == done("account", "create", "acme") == ""
    assert done("account", "list") == "acme\t0 tickets\n"
    token = done("token", "create", "--email", "Ann@Example.com").strip()
    assert len(token) >= 40
    assert (
        done("token", "create", "--email", "ann@example.com", "--token", "a-chosen-token-16") == "a-chosen-token-16\n"
    )
    assert done(
        "token", "create", "--email", "bob@example.com", "--password", "--role", "agent", input=b"password\n"
    ) == ("password stored\n")
    (tmp_path / "a.ndjson").write_bytes(lines(3))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b"[" + lines(2, 4).strip().replace(b"\n", b",\n ") + b"]"))
    assert (
        done("load", "a.ndjson", "b.json.gz", "-", input=b'{"tickets":[%s]}' % lines(1, 6).strip())
        == "loaded 6 tickets\n"
    )
    assert done("load", "--kind", "users", "-", input=b'{"id":9,"name":"N"}') == "loaded 1 users\n"
    page = json.loads(done("get", ALL))
    assert ([ticket["id"] for ticket in page["tickets"]], page["end_of_stream"]) == ([1, 2, 3, 4, 5, 6], True)
    assert page["after_url"].startswith(f"http://acme.localhost{PATH}?cursor=")
    assert done("get", f"{PATH}?start_time={int(time.time())}", "--profile", "zendesk", code=1) != ""
    listed = [line.split("\t") for line in done("token", "list").splitlines()]
    assert [(number, email, kind, status) for number, email, kind, _, status in listed] == [
        ("1", "ann@example.com", "api_token", "active"),
        ("2", "ann@example.com", "api_token", "active"),
        ("3", "bob@example.com", "password", "active"),
    ]
    done("token", "revoke", "2")
    assert done("token", "list").count("revoked") == 1
    secrets = (token.encode(), b"a-chosen-token-16", b"password\n")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("ticketfeed.db*"))
    assert not any(secret in stored for secret in secrets)


def test_accounts(tmp_path: Path) -> None:
    """A load that fails leaves no account; one into an empty store creates it; the default account can be chosen."""

    def done(*arguments: str, code: int = 0, **options: bytes) -> tuple[str, str]:
        result = run(*arguments, cwd=tmp_path, **options)
        assert result.code == code, result
        return result.out.decode(), result.err

    for arguments in ((), ("--account", "typo")):
        done("load", "-", *arguments, code=2, input=GOOD + b"not json\n")
        assert done("account", "list") == ("", "")
    _, error = done(*CREATE, "a@example.com", code=2)
    assert error == "ticketfeed: there is no account 'demo'; create it with: ticketfeed account create demo\n"
    done("load", "-", "--account", "acme", input=lines(3))
    done("generate", "5", "--account", "other", "--no-histories")
    assert done("account", "list")[0].splitlines()[0] == "acme\t3 tickets\tdefault"
    for name, host in (("other", "other.localhost"), ("acme", "acme.localhost")):
        done("account", "default", name)
        assert [line.split("\t")[::2] for line in done("account", "list")[0].splitlines() if "default" in line] == [
            [name, "default"]
        ]
        assert json.loads(done("get", ALL)[0])["after_url"].startswith(f"http://{host}/")


def test_check_erased(tmp_path: Path) -> None:
    """`check --erased` prints the places of each word by the number of its line; 1 where there is one, else 0."""
    (tmp_path / "words").write_text("absent\n\nZÉBRA quill\n")
    for subject in ('"A z\u00e9bra quill"', '"z\\u00e9bra quill"'):
        ticket = b'{"id":7,"subject":%s}\n' % subject.encode()
        assert run("load", "-", cwd=tmp_path, input=ticket).code == 0
        done = run("check", "--erased", "words", cwd=tmp_path)
        assert done.code == 1
        places = [line.partition(": ")[::2] for line in done.out.decode().splitlines()]
        assert {word for word, _ in places} == {"word 3"}
        assert any(place.startswith("table ticket, row 1 ") for _, place in places)
        assert any("ticketfeed.db, byte " in place for _, place in places)
    (tmp_path / "words").write_text("absent\n")
    done = run("check", "--erased", "words", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, b"1 word: none is stored\n", "")


def test_generate(tmp_path: Path) -> None:
    """The same seed gives the same bytes, which load as the store that generate fills itself."""
    world = ["generate", "40", "--until", "1700000000", "--seed", "7"]
    first, second = run(*world, "--out", "-", cwd=tmp_path), run(*world, "--out", "w.ndjson", cwd=tmp_path)
    assert (first.code, second.code, second.out) == (0, 0, b"")
    assert (tmp_path / "w.ndjson").read_bytes() == first.out
    assert os.listdir(tmp_path) == ["w.ndjson"]
    assert run("load", "w.ndjson", "--store", "sqlite:///a.db", cwd=tmp_path).code == 0
    assert run(*world, "--store", "sqlite:///b.db", cwd=tmp_path).code == 0
    pages = [run("get", ALL, "--store", f"sqlite:///{name}.db", cwd=tmp_path).out for name in "ab"]
    assert pages[0] == pages[1]
    assert len(json.loads(pages[0])["tickets"]) > 30


@pytest.mark.parametrize(
    "form", [[sys.executable, "-m", "ticketfeed"], [str(Path(sys.executable).with_name("ticketfeed"))]]
)
def test_help(form: list[str], tmp_path: Path) -> None:
    """Both ways of calling it work; help goes to standard output with 0, and bare to a screen with 2."""
    for arguments, code in ((["--help"], 0), (["serve", "-h"], 0), ([], 2), (["token"], 2)):
        done = subprocess.run([*form, *arguments], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (code, b"" if code == 0 else done.stderr)
        assert b"Usage: ticketfeed" in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


FILES = {
    "binary": bytes(range(256)) * 100,
    "zeros": b"\0" * 5000,
    "utf16": "\ufeff{}".encode("utf-16"),
    "truncated.gz": gzip.compress(GOOD * 1000)[:-9],
    "damaged.gz": gzip.compress(GOOD * 1000)[:40] + b"x" * 40,
    "badline": GOOD + b"not json\n",
    "badid": GOOD + b'{"id":"x"}\n',
    "noobject": b"17\n",
    "broken": b"[\n" + GOOD + b",",
    "nested": b'{"id":1,"x":' + b"[" * 100_000 + b"\n",
}
# arguments -> what the one line must name. Standard input is empty.
WRONG: list[tuple[tuple[str, ...], str]] = [
    (("nope",), "No such command 'nope'"),
    (("serve", "--nope"), "No such option: --nope"),
    (("load",), "Missing argument 'FILE...'"),
    (("load", "good", "missing"), "cannot read missing: No such file"),
    (("load", "."), "is a directory"),
    (("load", ""), "is a directory"),
    (("load", "-", "-"), "standard input can be read only once"),
    (("load", "--kind", "nope", "good"), "--kind"),
    (("load", "--on-error", "skip", "badid", "noobject", "--store", "sqlite:///empty/x/y.db"), "folder"),
    *((("load", "good", name), name) for name in FILES),
    (("load", "good", "--account", "A_"), "invalid account name 'A_'"),
    (("generate",), "Missing argument 'N'"),
    (("generate", "-1"), "-1"),
    (("generate", "x"), "'N'"),
    (("generate", "9" * 20), "'N'"),
    (("demo", "--tickets", "9" * 20), "--tickets"),
    (("maintain", "--close-solved-days", "9" * 20), "--close-solved-days"),
    (("maintain", "--scrub-deleted-days", "9" * 20), "--scrub-deleted-days"),
    (("export", "sqlite:///good", "--to", "-", "--requests-per-minute", "9" * 20), "--requests-per-minute"),
    (("mirror", "budget", "9" * 20), "'N'"),
    (("token", "revoke", "9" * 20), "there is no active token 99999999999999999999"),
    (("generate", "1", "--until", "99999999999"), "--until"),
    (("generate", "1", "--out", "."), "."),
    (("generate", "1", "--out", "missing/x"), "missing"),
    (("generate", "1", "--out", "good/x"), "Not a directory"),
    (("generate", "5", "--out", "/dev/full"), "No space left on device"),
    (("get", "x"), "'x' is not a path"),
    (("load", "\x1b[1mx"), "cannot read \\x1b[1mx"),
    *(
        ((*command, "--account", "nope"), "there is no account 'nope'; there are: demo")
        for command in [
            *(
                ("get", ALL),
                ("load", "good"),
                ("token", "list"),
                ("token", "revoke", "1"),
                ("simulate",),
                ("consumers",),
            ),
            *((*CREATE, "a@example.com"), (*CREATE, "a@example.com", "--token", "t" * 16)),
        ]
    ),
    (("check", "--erased", "missing"), "cannot read missing: No such file"),
    (("check", "--erased", "binary"), "binary is not UTF-8 text"),
    (("check", "--erased", "/dev/null"), "/dev/null holds no words"),
    (("account", "default", "nope"), "there is no account 'nope'; there are: demo"),
    ((*CREATE, "a@example.com", "--store", "sqlite:///missing.db"), "there is no store at missing.db"),
    (("get", ALL, "--store", "sqlite:///missing.db"), "there is no store at missing.db"),
    (("get", ALL, "--profile", "nope"), "--profile"),
    (("account", "list", "--store", "sqlite:///missing.db"), "there is no store"),
    (("account", "create", "-x-"), "No such option"),
    (("account", "create", "Ä"), "invalid account name"),
    (("account", "erase", "@demo"), "invalid account name"),
    (("account", "quota", ""), "invalid account name ''"),
    (("account", "export", "demo", "missing/file"), "cannot write missing/file: there is no folder missing"),
    (("account", "list", "--store", "sqlite:///."), "use sqlite:///FILE"),
    (("account", "list", "--store", "sqlite:////tmp"), "/tmp is a directory, not a file"),
    (("account", "list", "--store", "sqlite:///a.db?mode=ro"), "takes no options: 'mode=ro'"),
    (("account", "create", "a" * 64, "--store", "sqlite:///never.db"), "invalid account name"),
    *(((*CREATE, text), "is not an email address") for text in ("", "x", "@", "a@", "a b@c", "a:b@c", "\udcff@b")),
    ((*CREATE, "n@example.com", "--token", ""), "empty"),
    ((*CREATE, "n@example.com", "--token", "15-characters.."), "the token is too short: use 16 characters or more"),
    ((*CREATE, "n@example.com", "--token", "two words and more"), "without spaces"),
    ((*CREATE, "n@example.com", "--token", "\udcff"), "ASCII"),
    ((*CREATE, "n@example.com", "--role", "boss"), "--role"),
    ((*CREATE, "a@example.com", "--role", "agent"), "exists already, with the role admin"),
    ((*CREATE, "a@example.com", "--token", "process-token-of-tests"), "in use already"),
    ((*CREATE, "n@example.com", "--password"), "empty"),
    (("token", "revoke", "99"), "there is no active token 99"),
    (("token", "revoke", "x"), "'ID'"),
    (("token", "list", "--store", "nonsense"), "'nonsense'"),
    (("serve", "--port", "70000"), "--port"),
    (("serve", "--workers", "0"), "--workers"),
    (("serve", "--workers", "9999999"), "--workers"),
    (("serve", "--host", "a..b"), "cannot listen on a..b"),
    (("serve", "--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1"),
    (("serve", "--store", "memory:", "--workers", "2", "--port", "0"), "memory:"),
    *(
        (("serve", "--port", "0", "--public-url", text), "--public-url")
        for text in ("x", "ftp://x", "http://", "http://a b", "http://x?y", "http://{other}", "http://\udcff")
    ),
    *(
        (("serve", "--port", "0", "--store", f"sqlite:///{name}"), text)
        for name, text in {
            "good": "not an SQLite database",
            "other.db": "a database of another program",
            "newer.db": "was written by a newer ticketfeed",
            "damaged.db": "damaged.db",
            "good/x.db": "good/x.db",
            "": "use sqlite:///FILE",
            ".": "use sqlite:///FILE",
            "/": "use sqlite:///FILE",
            "missing/x.db": "missing/x.db",
        }.items()
    ),
    (("get", ALL, "--store", "sqlite:////proc/version"), "/proc/version"),
    (("account", "create", "x", "--store", "sqlite:////proc/x.db"), "/proc/x.db"),
]


@pytest.fixture(scope="module")
def wrong_folder(tmp_path_factory: pytest.TempPathFactory, filled: Path) -> Path:
    """A store, and beside it every kind of file that is not what it should be."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "good").write_bytes(GOOD)
    (folder / "empty").mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    for name in ("ticketfeed.db", "newer.db", "damaged.db", "broken.db"):
        shutil.copy(filled, folder / name)
    for name, sql in {
        "newer.db": "INSERT INTO migration VALUES (9999, 'x')",
        "other.db": "CREATE TABLE x (y)",
        "broken.db": "UPDATE record SET body = 'not json'",
    }.items():
        connection = sqlite3.connect(folder / name)
        connection.execute(sql)
        connection.commit()
        connection.close()
    data = (folder / "damaged.db").read_bytes()
    (folder / "damaged.db").write_bytes(data[:100] + b"\xff" * 60_000 + data[60_100:])
    return folder


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_wrong(arguments: tuple[str, ...], text: str, wrong_folder: Path) -> None:
    """What is wrong is told in one line with its name, exit code 2; no file appears, the store stays as it was."""
    before, files = (wrong_folder / "ticketfeed.db").read_bytes(), sorted(os.listdir(wrong_folder))
    assert text in run(*arguments, cwd=wrong_folder).problem
    assert (wrong_folder / "ticketfeed.db").read_bytes() == before
    assert sorted(os.listdir(wrong_folder)) == files


GET_ERRORS: list[tuple[str, int]] = [
    ("/api/v2/nothing", 404),
    (PATH, 400),
    ("/\udcff?\udcfe", 404),
    (f"{ALL}&include=users", 500),
    ("/api/v2/tickets/1/comments", 500),
]


@pytest.mark.parametrize(("path", "status"), GET_ERRORS)
def test_get_error(path: str, status: int, wrong_folder: Path) -> None:
    """`get` exits with 1 for a status of 400 or more, says it on standard error, and prints no traceback."""
    done = run("get", path, "--store", "sqlite:///broken.db", cwd=wrong_folder)
    assert (done.code, done.out != b"") == (1, True)
    *reasons, last = done.err.splitlines()
    assert last == f"ticketfeed: the response status is {status}"
    assert len(reasons) == (1 if status == 500 else 0)
    assert all(line.startswith("ticketfeed: unexpected error: ") for line in reasons)


def test_wrong_environment(wrong_folder: Path) -> None:
    """A bad value is refused alike when it comes from a variable."""
    for name, value in {"PORT": "x", "PROFILE": "x", "WORKERS": "0", "STORE": "x", "PUBLIC_URL": "x"}.items():
        assert run("serve", cwd=wrong_folder, env={f"TICKETFEED_{name}": value}).problem


def test_port_in_use(wrong_folder: Path) -> None:
    """A port that is taken is told before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("serve", "demo"):
            problem = run(command, "--port", port, "--store", "sqlite:///new.db", cwd=wrong_folder).problem
            assert problem == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert not (wrong_folder / "new.db").exists()


@pytest.mark.parametrize("kind", ["tmpfs", "limit"])
@pytest.mark.parametrize("command", [["load", "many"], ["generate", "20000"], ["generate", "20000", "--out", "w"]])
def test_full_disk(kind: str, command: list[str], tmp_path: Path, small: Callable[[str], dict[str, object]]) -> None:
    """On a disk that fills up a command stops with one line, and what was stored before is still there."""
    options = small(kind)
    (tmp_path / "many").write_bytes(lines(30_000))
    folder = tmp_path / "small"
    assert run("load", "-", cwd=folder, input=lines(5)).code == 0
    before = rows(folder / "ticketfeed.db")
    arguments = ["../many" if word == "many" else word for word in command]
    assert run_program(*arguments, cwd=folder, **options).problem
    assert rows(folder / "ticketfeed.db") == before
    assert not (folder / "w").exists()
    assert not (folder / "w.part").exists()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], dict[str, object]]]:
    """Makes tmp_path/small a place where little can be written; gives the options of `run` that it needs."""
    folder, mounted = tmp_path / "small", []
    folder.mkdir()

    def make(kind: str) -> dict[str, object]:
        if kind == "limit":
            size = 2 * 1024 * 1024
            return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a file system cannot be mounted here")
        mounted.append(folder)
        return {}

    yield make
    for each in mounted:
        subprocess.run(["umount", str(each)], check=True)


@pytest.mark.parametrize(
    ("source", "number", "code"),
    [
        ("pipe", signal.SIGINT, 130),
        ("silent pipe", signal.SIGINT, 130),
        ("file", signal.SIGINT, 130),
        ("file", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_interrupted_load(source: str, number: signal.Signals, code: int, folder: Path) -> None:
    """^C during a load exits 130 with nothing stored, even when standard input has fallen silent; SIGTERM as well."""
    before = rows(folder / "ticketfeed.db")
    if source == "file":
        (folder / "large.ndjson").write_bytes(lines(200_000))
    arguments = [*COMMAND, "load", "large.ndjson" if source == "file" else "-"]
    process = subprocess.Popen(arguments, cwd=folder, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stderr
    has_read = threading.Event()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            for number in range(10**6):
                stream.write(lines(10_000, number * 10_000 + 1))  # more than a pipe holds
                stream.flush()
                has_read.set()
                if source == "silent pipe":
                    process.wait()

    feeder = threading.Thread(target=feed)
    if source == "file":
        wait_until((folder / "ticketfeed.db-wal").exists)
    else:
        feeder.start()
        assert has_read.wait(SECONDS_MAX)
    time.sleep(0.2)
    process.send_signal(number)
    assert process.wait(SECONDS_MAX) == code
    if source == "file":
        process.stdin.close()
    else:
        feeder.join()
    with process.stderr as errors:
        assert errors.read() == b""
    assert rows(folder / "ticketfeed.db") == before


@pytest.mark.parametrize("ignored", [None, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_terminated(number: signal.Signals, ignored: signal.Signals | None, tmp_path: Path) -> None:
    """It removes what it was writing and ends by the signal, also where ^C is ignored; nohup is respected."""

    def ignore() -> None:
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    process = subprocess.Popen(
        [*COMMAND, "generate", "1000000", "--out", "tickets.ndjson"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        preexec_fn=ignore,
    )
    wait_until((tmp_path / "tickets.ndjson.part").exists)
    process.send_signal(number)
    if number == ignored:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        number = signal.SIGTERM
    _, problem = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, problem, list(tmp_path.iterdir())) == (-number, b"", [])


def test_output_that_goes_nowhere(folder: Path) -> None:
    """A reader that goes away is no error; a full disk behind standard output is, and says so once.

    Messages that cannot be written change no exit code.
    """
    pipe = f"{' '.join(COMMAND)} get '{ALL}' | head -c 10; echo; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b'{"tickets"\n0\n', b"")
    for arguments in (["get", ALL], ["account", "list"], ["generate", "3", "--out", "-"]):
        with open("/dev/full", "wb") as full:
            assert run(*arguments, cwd=folder, stdout=full).problem == "No space left on device\n"
    for arguments, code in ((["get", "nope"], 2), (["export", "sqlite:///ticketfeed.db", "--to", "-"], 0)):
        with open("/dev/full", "wb") as full:
            assert subprocess.run(
                [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=full, check=False
            ).returncode == code  # fmt: skip
    closed = f"{' '.join(COMMAND)} account list >&- <&-"
    done = subprocess.run(["sh", "-c", closed], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_devices_are_written_not_replaced(tmp_path: Path) -> None:
    """`--out` on something that is no file, here a pipe, writes into it and leaves it what it is."""
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert run("generate", "3", "--out", "pipe", cwd=tmp_path).code == 0
    out, _ = reader.communicate(timeout=SECONDS_MAX)
    assert out.count(b"\n") > 3
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_get_the_filled_store(folder: Path) -> None:
    """`get` prints the body and nothing else, page after page, to the end."""
    page, seen = json.loads(run("get", f"{ALL}&support_type_scope=all", cwd=folder).out), 0
    while page["tickets"]:
        seen += len(page["tickets"])
        page = json.loads(run("get", page["after_url"].partition("localhost")[2], cwd=folder).out)
    assert seen == TICKETS


def test_demo(start: Start, tmp_path: Path) -> None:
    """`demo` serves within seconds, what it prints works as it stands, and it leaves nothing behind."""
    (tmp_path / "temporary").mkdir()
    demo = start("demo", "--port", "0", "--tickets", "300", env={"TMPDIR": str(tmp_path / "temporary")})
    assert sum(psutil.Process(demo.process.pid).cpu_times()[:2]) < 10
    while "curl" not in demo.read_line():
        pass
    line = demo.output[-1].strip()
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=SECONDS_MAX)
        assert len(json.loads(done.stdout)["tickets"]) == 2
        done = subprocess.run(["sh", "-c", demo.read_line()], capture_output=True, check=True, timeout=SECONDS_MAX)
        assert demo.ask(token=json.loads(done.stdout)["access_token"]).status == 200
    assert demo.ask(token="demo-token").status == 200
    assert demo.ask(token="agent-token").status == 403
    assert demo.ask(token="x").status == 401
    assert demo.end(signal.SIGINT) == 130
    assert os.listdir(tmp_path / "temporary") == []
    errors = [line for line in demo.errors.read_text().splitlines() if not line.startswith("{")]
    assert errors == ["generating 300 tickets ..."]


def test_demo_in_a_store_of_somebody(folder: Path) -> None:
    """A store that holds tickets of its own is given no well-known credentials."""
    store = ("--store", "sqlite:///ticketfeed.db")
    assert "not a demo" in run("demo", "--port", "0", *store, cwd=folder).problem
    assert b"admin@example.com" not in run("token", "list", cwd=folder).out


def test_version(folder: Path) -> None:
    """`--version` says the name and the version."""
    done = run_program("--version", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"ticketfeed {version('ticketfeed')}\n".encode()
