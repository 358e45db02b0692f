"""`ticketfeed run`: unmodified clients of several kinds find the store at https://NAME.zendesk.com, nothing else."""

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import COMMAND, ENVIRONMENT, Done, run
from tests.process.walks import NODE, PATH, PYTHON, URL, WALK, can_isolate, check_walk, fill_home, read_stored
from tests.waiting import SECONDS_MAX
from ticketfeed.clock import system_clock
from ticketfeed.wrap.authority import make_authority
from ticketfeed.wrap.contexts import file_context

# Node itself trusts our authority; without support for proxies, the program makes its own tunnel.
NODE_TUNNEL = """
const http = require("http"), tls = require("tls"), proxy = new URL(process.env.HTTPS_PROXY);
const ask = {host: proxy.hostname, port: proxy.port, method: "CONNECT", path: "acme.zendesk.com:443"};
http.request(ask).on("connect", (answer, socket) => {
    const secure = tls.connect({socket, servername: "acme.zendesk.com"}, () => {
        console.log(secure.authorized, secure.getPeerCertificate().subjectaltname);
        secure.end();
    });
}).end();
"""
JAVA = """
import java.net.*; import java.net.http.*;
public class Get {
    public static void main(String[] arguments) throws Exception {
        HttpURLConnection old = (HttpURLConnection) new URL(arguments[0]).openConnection();
        old.setRequestProperty("Authorization", "Bearer " + arguments[1]);
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Authorization", "Bearer " + arguments[1]).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(old.getResponseCode() + " " + answer.statusCode());
    }
}
"""


def node_version() -> tuple[int, ...]:
    if not shutil.which("node"):
        return ()
    text = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, text.strip().removeprefix("v").split(".")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_home(tmp_path_factory.mktemp("run"))


Wrap = Callable[..., Done]


@pytest.fixture(scope="module", params=["always", "never"])
def environment(home: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Everything holds for an isolated command and for one that is not."""
    if request.param == "always" and not can_isolate():
        pytest.skip("this system does not let a command be isolated")
    return {"TICKETFEED_CA_DIR": str(home / "ca"), "TICKETFEED_ISOLATE": request.param}


@pytest.fixture(scope="module")
def wrap(home: Path, environment: dict[str, str]) -> Wrap:
    """Run a command with `ticketfeed run`, which may have options of its own."""

    def wrap(*command: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Done:
        return run("run", *options, "--", *command, cwd=home, env={**environment, **(env or {})})

    return wrap


@pytest.fixture(scope="module")
def stored(home: Path) -> dict[str, list[Any]]:
    return read_stored(home)


@pytest.mark.parametrize("client", PYTHON)
def test_clients(wrap: Wrap, stored: dict[str, list[Any]], client: str) -> None:
    """A client that knows nothing of us walks the whole export at the real address."""
    if client == "curl" and not shutil.which("curl"):
        pytest.skip("no curl here")
    program = WALK.format(preparation=PYTHON[client])
    done = wrap(sys.executable, "-c", program, f"{URL}?start_time=0&per_page=100", "acme-token-of-tests")
    check_walk(done, stored["acme"])


def test_node(wrap: Wrap, stored: dict[str, list[Any]]) -> None:
    """Node's fetch finds the way by NODE_USE_ENV_PROXY."""
    version = node_version()
    if not (22, 21) <= version < (23,) and not version >= (24, 5):
        pytest.skip(f"node {version} reads no proxy from its environment; it takes 22.21 or 24.5")
    target = f"{URL}?start_time=0&per_page=100"
    check_walk(wrap("node", "--input-type=module", "-e", NODE, target, "acme-token-of-tests"), stored["acme"])


def test_node_trusts(wrap: Wrap) -> None:
    """Any Node trusts what the proxy leads to, by NODE_EXTRA_CA_CERTS."""
    if not node_version():
        pytest.skip("no node here")
    done = wrap("node", "-e", NODE_TUNNEL)
    assert (done.code, done.out, done.err) == (0, b"true DNS:acme.zendesk.com\n", "")


def test_java(wrap: Wrap, tmp_path: Path) -> None:
    """Both of Java's own clients find the way and trust it, by JAVA_TOOL_OPTIONS."""
    if not shutil.which("javac"):
        pytest.skip("no Java here")
    (tmp_path / "Get.java").write_text(JAVA)
    done = wrap("java", str(tmp_path / "Get.java"), f"{URL}?start_time=0&per_page=1", "acme-token-of-tests")
    assert (done.code, done.out) == (0, b"200 200\n"), done.err


def test_accounts_by_host(wrap: Wrap, stored: dict[str, list[Any]]) -> None:
    """The host names the account, whose credentials are needed; a host without one is no help desk."""
    program = WALK.format(preparation=PYTHON["requests"])
    beta = f"https://beta.zendesk.com{PATH}?start_time=0&per_page=30"
    check_walk(wrap(sys.executable, "-c", program, beta, "beta-token-of-tests"), stored["beta"], "beta")
    status = """
import requests, sys
acme, beta = "acme-token-of-tests", "beta-token-of-tests"
for host, token in (("acme", beta), ("acme", ""), ("nobody", acme), ("ACME", acme)):
    url = f"https://{host}.zendesk.com/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=1"
    print(requests.get(url, headers={"Authorization": "Bearer " + token}).status_code)
"""
    assert wrap(sys.executable, "-c", status).out.split() == [b"401", b"401", b"404", b"200"]


def test_profile(wrap: Wrap) -> None:
    """The rules of a profile hold: with `zendesk`, a start_time of now is too recent."""
    url = f"{URL}?start_time={system_clock()}"
    curl = (
        "curl",
        "-sS",
        "-o",
        os.devnull,
        "-w",
        "%{http_code}",
        "-H",
        "Authorization: Bearer acme-token-of-tests",
        url,
    )
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    assert wrap(*curl, options=("--profile", "zendesk", "--rule", "api_tokens=allowed")).out == b"400"
    logged = wrap(*curl, options=("--log-requests",))
    assert logged.out == b"200"
    assert [json.loads(line)["status"] for line in logged.err.splitlines()] == [200]


def test_other_hosts_are_refused(wrap: Wrap) -> None:
    """Another host is 403 to the client, with the option that allows it; and one line says so, once per host."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    script = (
        "curl -sS https://api.example.com/a; echo $?; curl -sS https://api.example.com/b; curl -s http://example.org/"
    )
    done = wrap("sh", "-c", script)
    assert done.out.splitlines() == [
        b"56",
        b"ticketfeed: example.org is not allowed here; to allow it: ticketfeed run --allow-host example.org",
    ]
    assert [line for line in done.err.splitlines() if line.startswith("ticketfeed: ")] == [
        "ticketfeed: refused a connection to api.example.com port 443; to allow it: --allow-host api.example.com",
        "ticketfeed: refused a connection to example.org port 80; to allow it: --allow-host example.org",
    ]
    assert "response 403" in done.err


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An https server at 127.0.0.2 that is not ours: its port, and the file of the authority behind it."""
    authority = make_authority(system_clock())
    (tmp_path / "other.pem").write_bytes(authority.root_pem)
    context = file_context(authority.issue(["127.0.0.2"], system_clock()))
    with socket.create_server(("127.0.0.2", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(10_000)
                        secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1], tmp_path / "other.pem"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_allowed_host(wrap: Wrap, other_server: tuple[int, Path]) -> None:
    """An allowed host is reached as it is, under its own certificate, which the caller's roots still vouch for."""
    port, roots = other_server
    program = f"import requests; print(requests.get('https://127.0.0.2:{port}/').text)"
    env = {"SSL_CERT_FILE": str(roots)}
    done = wrap(sys.executable, "-c", program, options=("--allow-host", "127.0.0.2"), env=env)
    assert (done.out, done.err) == (b"hello\n", "")
    assert (
        wrap(sys.executable, "-c", program, env={**env, "TICKETFEED_ALLOW_HOST": "x.org 127.0.0.2"}).out == b"hello\n"
    )
    refused = wrap(sys.executable, "-c", program, env=env)
    assert refused.code == 1
    assert refused.err.startswith("ticketfeed: refused a connection to 127.0.0.2 port ")


def test_this_machine_is_direct(wrap: Wrap) -> None:
    """What listens at 127.0.0.1 is reached without us."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        program = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=60)"
        asked: list[bytes] = []

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert wrap(sys.executable, "-c", program).code == 0
        thread.join()
    assert asked[0].startswith(b"GET / ")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_exit_codes(wrap: Wrap, script: str, code: int) -> None:
    """The exit code is the command's own; 128 and the number for a signal."""
    done = wrap("sh", "-c", script)
    assert (done.code, done.out, done.err) == (code, b"", "")


def test_streams(home: Path, environment: dict[str, str]) -> None:
    """The command has our standard input, output and error, and its own options, with or without a --."""
    script = "cat; echo error >&2"
    done = run("run", "sh", "-c", script, cwd=home, env=environment, input=b"\0\xffbytes")
    assert (done.code, done.out, done.err) == (0, b"\0\xffbytes", "error\n")


def test_a_job_under_way_when_the_command_ends(environment: dict[str, str], tmp_path: Path) -> None:
    """Its item is finished, and nothing is said; what is left is there for the next server."""
    assert run("account", "create", "acme", cwd=tmp_path).code == 0
    assert run("token", "create", "--email", "a@example.com", "--token", "acme-token-of-tests", cwd=tmp_path).code == 0
    program = (
        "import requests\n"
        "tickets = [{'comment': {'body': 'x' * 30000}} for _ in range(100)]\n"
        "address = 'https://acme.zendesk.com/api/v2/tickets/create_many'\n"
        "headers = {'Authorization': 'Bearer acme-token-of-tests'}\n"
        "answer = requests.post(address, json={'tickets': tickets}, headers=headers)\n"
        "assert answer.status_code == 200, answer.text\n"
    )
    done = run("run", "--", sys.executable, "-c", program, cwd=tmp_path, env=environment)
    assert (done.code, done.err) == (0, "")
    assert run("check", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--", "no-such-command"], "cannot run no-such-command: No such file or directory"),
        (["--", "/"], "cannot run /: Permission denied"),
        (["--", ""], "cannot run "),
        (["--allow-host", "https://x", "--", "true"], "--allow-host 'https://x' is not a host"),
        (["--store", "sqlite:///none.db", "--", "true"], ""),
        (["--store", "memory:", "--", "true"], "a memory: store is empty"),
        (["--ca-dir", ".", "--", "true"], "the directory "),
        (["--ca-dir", "ticketfeed.db", "--", "true"], "cannot use "),
    ],
)
def test_problems(home: Path, environment: dict[str, str], arguments: list[str], problem: str) -> None:
    """What cannot be run, or cannot be run as asked, is one line and 2."""
    home.chmod(0o755)
    done = run("run", *arguments, cwd=home, env=environment)
    assert done.problem.startswith(problem)
    assert not (home / "none.db").exists()


def test_without_the_extra(home: Path) -> None:
    """Where cryptography is missing, one line says what to install; a certificate from files needs none."""
    program = "import sys; sys.modules['cryptography'] = None; from ticketfeed.cli import main; main(sys.argv[1:])"
    for arguments in (["run", "true"], ["ca"], ["serve", "--tls", "--port", "0"]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            "ticketfeed: certificates need the package cryptography: pip install 'ticketfeed[tls]'\n"
        )


@contextlib.contextmanager
def started(home: Path, environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ticketfeed run` under way, its command having printed its first line."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--", *command],
        cwd=home,
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # which reaches the command
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


COUNT_SIGNALS = """
import signal, sys, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: seen.append(number))
print("up", flush=True)
while not seen:
    time.sleep(0.02)
time.sleep(0.3)
print(*map(int, seen), flush=True)
sys.exit(9)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(home: Path, environment: dict[str, str], number: signal.Signals) -> None:
    """A signal goes to the command, which decides what comes of it, and how we end."""
    with started(home, environment, sys.executable, "-c", COUNT_SIGNALS) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out, err) == (9, f"{int(number)}\n".encode(), b"")


def test_terminated(home: Path, environment: dict[str, str]) -> None:
    """A command that a signal ends ends us with 128 and its number, and no folder is left behind."""
    script = "echo $SSL_CERT_FILE; exec sleep 60"
    with started(home, environment, "sh", "-c", script) as process:
        assert process.stdout
        roots = Path(process.stdout.readline().decode().strip())
        assert roots.exists()
        process.terminate()
        _, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, err) == (143, b"")
    assert not roots.parent.exists()


def test_interrupt_from_a_terminal(home: Path, environment: dict[str, str]) -> None:
    """^C reaches the command once, although both of us sit at the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "--", sys.executable, "-c", COUNT_SIGNALS],
        cwd=home,
        env={**ENVIRONMENT, **environment},
        preexec_fn=lambda: os.login_tty(theirs),
    )
    os.close(theirs)
    received = b""
    try:
        with contextlib.suppress(OSError):  # how a terminal ends
            while chunk := os.read(ours, 1000):
                received += chunk
                if received == b"up\r\n":
                    os.write(ours, b"\x03")
        assert process.wait(SECONDS_MAX) == 9
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert received.replace(b"^C", b"") == b"up\r\n2\r\n"


def test_two_at_once(home: Path, tmp_path: Path) -> None:
    """Several that start at once on a new machine share one authority, in a folder that is private."""
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "NODE_EXTRA_CA_CERTS": ""}
    script = "cat $NODE_EXTRA_CA_CERTS; echo end"
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(started(home, environment, "sh", "-c", script)) for _ in range(3)]
        outs = {process.communicate(timeout=SECONDS_MAX)[0] for process in processes}
    assert len(outs) == 1
    assert outs.pop().count(b"BEGIN CERTIFICATE") == 1
    shown = run("ca", cwd=home, env=environment)
    file = Path(shown.out.decode().strip())
    assert file == tmp_path / "state" / "ticketfeed" / "ca.pem"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()} == {
        "ca.pem": 0o600,
        "issuer.pem": 0o600,
    }


TUNNEL = b"CONNECT acme.zendesk.com:443 HTTP/1.1\r\nHost: acme.zendesk.com:443\r\n\r\n"
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + b"\0" * 50

# name -> (what is sent to the proxy, how its answer may begin)
ROUGH: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "nothing": (b"", (b"",)),
    "garbage": (bytes(range(256)) * 10, (b"",)),
    "garbage with an end": (bytes(range(256)) + b"\r\n\r\n", (b"HTTP/1.1 400 ",)),
    "tls": (CLIENT_HELLO, (b"",)),
    "half a head": (TUNNEL[:30], (b"",)),
    "half a tunnel": (TUNNEL, (b"HTTP/1.1 200 ",)),
    "half a handshake": (TUNNEL + CLIENT_HELLO, (b"HTTP/1.1 200 ",)),
    "garbage in a tunnel": (TUNNEL + bytes(range(256)) * 100, (b"HTTP/1.1 200 ",)),
    "http in a tunnel": (TUNNEL + b"GET / HTTP/1.1\r\nHost: acme.zendesk.com\r\n\r\n", (b"HTTP/1.1 200 ",)),
    "a head of 1 MB": (TUNNEL[:-2] + b"X: " + b"x" * 1_000_000, (b"HTTP/1.1 431 ", b"")),
    "not for a proxy": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", (b"HTTP/1.1 400 ",)),
    "host of bytes": (b"CONNECT \xff\xfe\x80:443 HTTP/1.1\r\n\r\n", (b"HTTP/1.1 400 ",)),
}


@pytest.mark.parametrize("reset", [False, True])
def test_rough(home: Path, environment: dict[str, str], reset: bool) -> None:
    """Whatever comes to the proxy has an answer or an end; nothing is said, and the next client is served."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    script = "echo $HTTPS_PROXY; cat > /dev/null; exec curl -sS -o /dev/null -w '%{http_code}' " + URL
    with started(home, environment, "sh", "-c", script) as process:
        assert process.stdout
        port = int(process.stdout.readline().decode().rpartition(":")[2])
        for name, (sent, expected) in ROUGH.items():
            with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as rough:
                with contextlib.suppress(OSError):  # we are cut off before we have said it all
                    rough.sendall(sent)
                    if not reset:
                        rough.shutdown(socket.SHUT_WR)
                received = b""
                if reset:
                    rough.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    continue
                with contextlib.suppress(ConnectionError):
                    while chunk := rough.recv(1 << 16):
                        received += chunk
                assert received.startswith(expected), name
        out, err = process.communicate(b"", timeout=SECONDS_MAX)
    assert (process.returncode, out, err) == (0, b"401", b"")


def test_certificate_of_run(home: Path, environment: dict[str, str]) -> None:
    """What is shown is a certificate for exactly the host that was asked for, at any port."""
    with started(home, environment, "sh", "-c", "echo $HTTPS_PROXY; cat") as process:
        assert process.stdout
        port = int(process.stdout.readline().decode().rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(Path(environment["TICKETFEED_CA_DIR"]) / "ca.pem"))
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as plain:
            plain.sendall(TUNNEL.replace(b"443", b"8443"))
            assert plain.recv(1000).startswith(b"HTTP/1.1 200 ")
            with context.wrap_socket(plain, server_hostname="acme.zendesk.com") as secure:
                certificate: Any = secure.getpeercert()
                assert certificate["subjectAltName"] == (("DNS", "acme.zendesk.com"),)
                assert secure.selected_alpn_protocol() is None
