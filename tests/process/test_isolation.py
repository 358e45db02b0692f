"""`ticketfeed run --isolate`: programs that read no proxy variables, and trust files of their own, find the store."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.venvs import connector_bin
from tests.ports import free_port
from tests.process.conftest import COMMAND, ENVIRONMENT, Done, run
from tests.process.walks import NODE, PYTHON, URL, WALK, can_isolate, check_walk, fill_home, read_stored
from tests.test_docs import ROOT
from tests.waiting import SECONDS_MAX

pytestmark = pytest.mark.skipif(not can_isolate(), reason="this system does not let a command be isolated")

PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
VARIABLES = (
    *PROXY_VARIABLES,
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY"),
    "JAVA_TOOL_OPTIONS",
)
WITHOUT = ("env", *(f"--unset={name}" for name in VARIABLES))
FORGET = f"import os\nfor name in {VARIABLES}: del os.environ[name]\n"
AIOHTTP = """
import aiohttp, asyncio
async def get(url, headers):
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return await answer.text()
def fetch(url, headers): return asyncio.run(get(url, headers))
"""
# Prints the body of an answer: FETCH HOST PATH TOKEN. Linked statically, it has the C library's own look-up of names.
FETCH = r"""
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    char request[4096], answer[65536], host[300];
    int size, begun = 0;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_default_verify_paths(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    BIO *bio = BIO_new_ssl_connect(context);
    SSL *ssl;
    BIO_get_ssl(bio, &ssl);
    SSL_set1_host(ssl, words[1]);
    SSL_set_tlsext_host_name(ssl, words[1]);
    snprintf(host, sizeof host, "%s:443", words[1]);
    BIO_set_conn_hostname(bio, host);
    snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
             words[2], words[1], words[3]);
    if (BIO_do_connect(bio) <= 0 || BIO_write(bio, request, strlen(request)) <= 0) return 1;
    FILE *whole = tmpfile();
    while ((size = BIO_read(bio, answer, sizeof answer)) > 0) fwrite(answer, 1, size, whole);
    for (rewind(whole); begun < 4 && (size = getc(whole)) != EOF;)
        begun = size == "\r\n\r\n"[begun] ? begun + 1 : 0;
    while ((size = fread(answer, 1, sizeof answer, whole)) > 0) fwrite(answer, 1, size, stdout);
    return 0;
}
"""
JAVA = """
import java.net.*; import java.net.http.*; import java.util.regex.*;
public class Walk {
    public static void main(String[] words) throws Exception {
        String url = words[0], body;
        do {
            HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", "Bearer " + words[1]).build();
            body = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
            System.out.println(body);
            Matcher found = Pattern.compile("\\"after_url\\":\\"([^\\"]+)\\"").matcher(body);
            found.find();
            url = found.group(1);
        } while (!body.contains("\\"end_of_stream\\":true"));
    }
}
"""
TARGET = (f"{URL}?start_time=0&per_page=100", "acme-token-of-tests")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_home(tmp_path_factory.mktemp("isolated"))


@pytest.fixture(scope="module")
def stored(home: Path) -> dict[str, list[Any]]:
    return read_stored(home)


Wrap = Callable[..., Done]


@pytest.fixture(scope="module")
def wrap(home: Path) -> Wrap:
    """Run a command with `ticketfeed run --isolate always`, or with other options."""

    def wrap(
        *command: str, options: Sequence[str] = ("--isolate", "always"), env: dict[str, str] | None = None
    ) -> Done:
        return run(
            "run", *options, "--", *command, cwd=home, env={"TICKETFEED_CA_DIR": str(home / "ca"), **(env or {})}
        )

    return wrap


def script(folder: Path, python: Path, preparation: str) -> str:
    """A program as pip installs it, which forgets each variable that it was given."""
    file = folder / "connector"
    file.write_text(f"#!{python}\n{FORGET}{WALK.format(preparation=preparation)}")
    file.chmod(0o755)
    return str(file)


def test_aiohttp(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """aiohttp without trust_env asks no proxy, and trusts the system's roots."""
    python = connector_bin("aiohttp") / "python"
    check_walk(wrap(script(tmp_path, python, AIOHTTP), *TARGET), stored["acme"])


def test_certifi(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """requests trusts the certifi of its own environment, which the program's first line leads to."""
    python = connector_bin("requests") / "python"
    check_walk(wrap(script(tmp_path, python, PYTHON["requests"]), *TARGET), stored["acme"])


@pytest.mark.parametrize("roots", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_system_roots(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path, roots: str) -> None:
    """The system's bundle and its folder of roots by their hashes, each by itself, hold our authority."""
    found = {"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", "SSL_CERT_DIR": "/etc/ssl/certs"}
    if not Path(found[roots]).exists():
        pytest.skip("this system keeps its roots elsewhere")
    names = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull, roots: found[roots]}
    file = script(tmp_path, Path(sys.executable), f"os.environ.update({names})\n{PYTHON['urllib']}")
    check_walk(wrap(file, *TARGET), stored["acme"])


def test_node(wrap: Wrap, stored: dict[str, list[Any]]) -> None:
    """Node of any version, whose roots are its own and those of NODE_EXTRA_CA_CERTS, needs the name alone."""
    if not shutil.which("node"):
        pytest.skip("no node here")
    kept = [word for word in WITHOUT if "NODE_EXTRA" not in word]
    check_walk(wrap(*kept, "node", "--input-type=module", "-e", NODE, *TARGET), stored["acme"])


def test_static_binary(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """A program that brings its own libraries looks up the name, and reads the roots, as it always does."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    (tmp_path / "fetch.c").write_text(FETCH)
    words = ["gcc", "-static", "-w", "fetch.c", "-o", "fetch", "-lssl", "-lcrypto"]
    if subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, timeout=60).returncode:
        pytest.skip("no static OpenSSL here")
    preparation = (
        "import subprocess\ndef fetch(url, headers):\n"
        "    host, _, path = url.removeprefix('https://').partition('/')\n"
        f"    words = [{str(tmp_path / 'fetch')!r}, host, '/' + path, headers['Authorization'].split()[1]]\n"
        "    return subprocess.run(words, check=True, capture_output=True).stdout"
    )
    check_walk(wrap(*WITHOUT, sys.executable, "-c", WALK.format(preparation=preparation), *TARGET), stored["acme"])


def test_java(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """Java reads the roots of its own installation."""
    if not shutil.which("javac"):
        pytest.skip("no Java here")
    (tmp_path / "Walk.java").write_text(JAVA)
    check_walk(wrap(*WITHOUT, "java", str(tmp_path / "Walk.java"), *TARGET), stored["acme"])


def test_every_host_of_zendesk(wrap: Wrap) -> None:
    """Accounts stand in the hosts file; any other host of zendesk.com is ours too, and answers as such."""
    program = (
        "import http.client, ssl\n"
        "for host in ('acme', 'BETA', 'nobody'):\n"
        "    there = http.client.HTTPSConnection(f'{host}.zendesk.com', timeout=60)\n"
        "    there.request('GET', '/api/v2/tickets.json')\n"
        "    print(there.getresponse().status)\n"
    )
    done = wrap("sh", "-c", f'cat /etc/hosts; exec "{sys.executable}" -c "$0"', program)
    assert done.err == ""
    *hosts, acme, beta, nobody = done.out.decode().splitlines()
    real = Path("/etc/hosts").read_text().splitlines()
    assert hosts == ["127.0.0.1 acme.zendesk.com", "127.0.0.1 beta.zendesk.com", *real]
    assert (acme, beta, nobody) == ("401", "401", "404")


LOOK_UP = "import socket, sys\nfor host in sys.argv[1:]:\n    socket.getaddrinfo(host, 443)"


def test_other_hosts(wrap: Wrap) -> None:
    """Another host has no address; one line says so, with the option, and of an allowed one, how it is reached."""
    done = wrap(sys.executable, "-c", LOOK_UP, "api.example.com")
    assert done.code == 1
    first, *_, last = done.err.splitlines()
    assert first == "ticketfeed: refused to look up api.example.com; to allow it: --allow-host api.example.com"
    assert last.startswith("socket.gaierror: [Errno -2]")
    options = ("--isolate", "always", "--allow-host", "*.example.com")
    done = wrap(sys.executable, "-c", LOOK_UP, "api.example.com", options=options)
    first, *_ = done.err.splitlines()
    assert first == "ticketfeed: the program looked up api.example.com, which is reached through the proxy only"


STATUS = """
import os
print(os.getuid(), os.getgid(), *os.getgroups()[:1])
with open("/proc/self/status") as file:
    print("".join(line for line in file if line.startswith(("Cap", "SigBlk", "SigIgn", "SigCgt"))))
print(sorted(os.listdir("/proc/self/fd")), os.getcwd(), os.getsid(0), os.getpgrp() == os.getppid())
os.setpgid
"""
AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@pytest.mark.parametrize("user", [(), AS_USER], ids=["self", "1000"])
def test_privileges(home: Path, user: Sequence[str]) -> None:
    """The user and group stay, no capability is left, and nothing else of a process differs."""

    def status(mode: str) -> str:
        words = [*user, *COMMAND, "run", "--isolate", mode, "--", sys.executable, "-c", STATUS]
        environment = {**ENVIRONMENT, "TICKETFEED_CA_DIR": str(home / "ca")}
        done = subprocess.run(
            words, cwd=home, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS_MAX
        )
        assert done.stderr == ""
        return done.stdout

    isolated, plain = status("always"), status("never")
    assert re.findall(r"^Cap\w+:\s*(\w+)$", isolated, re.M) == ["0" * 16] * 5
    without = [re.sub(r"^Cap.*\n", "", text, flags=re.M) for text in (isolated, plain)]
    assert without[0] == without[1]
    assert isolated.startswith("1000 1000" if user else f"{os.getuid()} {os.getgid()}")


def test_environment(wrap: Wrap) -> None:
    """The environment is the same, but for the proxy's port and the folder of certificates."""

    def environment(mode: str) -> dict[str, str]:
        done = wrap("env", "-0", options=("--isolate", mode), env={"ODD": "a\nb=\udcff", "EMPTY": ""})
        lines = done.out.decode("utf-8", "surrogateescape").split("\0")
        text = dict(line.partition("=")[::2] for line in lines)
        return {name: re.sub(r"127\.0\.0\.1:\d+|Port=\d+|run-\w+", "", value) for name, value in text.items()}

    assert environment("always") == environment("never")


def test_real_files_are_untouched(wrap: Wrap, tmp_path: Path) -> None:
    """What is bound over the system's files is seen by the command alone, and leaves nothing behind."""
    files = [Path("/etc/hosts"), Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf")]

    def places(mountinfo: str) -> set[str]:
        found = {line.split()[4] for line in mountinfo.splitlines()}
        return {place for place in found if not place.endswith("/small")}  # a disk of tests/process/test_full_disk.py

    before = [file.read_bytes() for file in files if file.exists()]
    mounted = places(Path("/proc/self/mountinfo").read_text())
    seen = tmp_path / "seen"
    inside = wrap("sh", "-c", f"cat /etc/hosts > {seen}; echo $SSL_CERT_FILE; cat /proc/self/mountinfo")
    roots, _, mounts = inside.out.decode().partition("\n")
    assert "zendesk.com" in seen.read_text()
    assert places(mounts) > mounted
    assert [file.read_bytes() for file in files if file.exists()] == before
    assert places(Path("/proc/self/mountinfo").read_text()) == mounted
    assert not Path(roots).parent.exists()


@contextlib.contextmanager
def answering(family: socket.AddressFamily, address: str, port: int = 0) -> Iterator[int]:
    """Something at this machine that greets whoever connects; its port."""
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.sendall(b"hello")
                    connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


GREETED = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as connection:
    print(connection.recv(100))
"""


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")]
)
def test_services_of_this_machine(wrap: Wrap, family: socket.AddressFamily, address: str) -> None:
    """What listens at localhost when the command starts is reached at 127.0.0.1, as without isolation."""
    try:
        with answering(family, address) as port:
            done = wrap(sys.executable, "-c", GREETED, str(port))
    except OSError:
        pytest.skip(f"{address} is not there")
    assert (done.code, done.out, done.err) == (0, b"b'hello'\n", "")


def test_host_port(home: Path) -> None:
    """What starts later is reached by --host-port; where nothing listens, the connection ends."""
    port = free_port()
    program = f"print(flush=True)\ninput()\n{GREETED}\n"
    words = [*COMMAND, "run", "--isolate", "always", "--host-port", str(port), "--", sys.executable, "-c", program]
    environment = {**ENVIRONMENT, "TICKETFEED_CA_DIR": str(home / "ca")}
    for late in (True, False):
        with subprocess.Popen(
            [*words, str(port)], cwd=home, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            with answering(socket.AF_INET, "127.0.0.1", port) if late else contextlib.nullcontext():
                out, _ = process.communicate(b"\n", timeout=SECONDS_MAX)
        assert (process.returncode, out) == (0, b"b'hello'\n" if late else b"b''\n")


def test_grandchildren(wrap: Wrap, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """What a command starts is isolated with it, in the background and in a session of its own, too."""
    file = script(tmp_path, Path(sys.executable), PYTHON["urllib"])
    done = wrap("sh", "-c", f"setsid {file} '{TARGET[0]}' {TARGET[1]} & wait")
    check_walk(done, stored["acme"])


def test_run_inside_run(home: Path, stored: dict[str, list[Any]], tmp_path: Path) -> None:
    """An isolated command may isolate another; root, which has no capability left to do so, runs it the other way."""
    file = script(tmp_path, Path(sys.executable), PYTHON["urllib"])
    inner = ["run", "--isolate", "always", "--", *COMMAND, "run", "--isolate", "always", "--", file, *TARGET]
    environment = {**ENVIRONMENT, "TICKETFEED_CA_DIR": str(home / "ca")}
    done = subprocess.run(
        [*AS_USER, *COMMAND, *inner], cwd=home, env=environment, capture_output=True, check=False, timeout=60
    )
    check_walk(Done(done.returncode, done.stdout, done.stderr.decode()), stored["acme"])
    program = WALK.format(preparation=PYTHON["urllib"])
    inner = ["run", "--isolate", "always", "--", *COMMAND, "run", "--", sys.executable, "-c", program, *TARGET]
    check_walk(run(*inner, cwd=home, env={"TICKETFEED_CA_DIR": str(home / "ca")}), stored["acme"])


def test_several_at_once(tmp_path: Path) -> None:
    """Each has a port 443 of its own, and reads its own store."""
    program = FORGET + (
        "import http.client, sys\n"
        "there = http.client.HTTPSConnection('acme.zendesk.com', timeout=60)\n"
        "there.request('GET', '/api/v2/users/me.json', headers={'Authorization': 'Bearer ' + sys.argv[1]})\n"
        "answer = there.getresponse()\n"
        "print(answer.status)\n"
        "print(flush=True)\n"
        "input()\n"
        "there.request('GET', '/api/v2/users/me.json', headers={'Authorization': 'Bearer ' + sys.argv[1]})\n"
    )
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(4):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert run("account", "create", "acme", cwd=folder).code == 0
            token = (
                "token",
                "create",
                "--email",
                "a@example.com",
                "--token",
                f"token-of-tests-{number}",
                "--account",
                "acme",
            )
            assert run(*token, cwd=folder).code == 0
            processes.append(
                stack.enter_context(
                    subprocess.Popen(
                        [
                            *COMMAND,
                            "run",
                            "--isolate",
                            "always",
                            "--",
                            sys.executable,
                            "-c",
                            program,
                            f"token-of-tests-{number}",
                        ],
                        cwd=folder,
                        env={**ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            )
        for process in processes:  # all are under way
            assert process.stdout
            assert process.stdout.readline() == "200\n"
        for process in processes:
            process.communicate("\n", timeout=SECONDS_MAX)
            assert process.returncode == 0


REFUSING = ("unshare", "--user", "--map-root-user", "sh", "-c")


def refused(home: Path, *arguments: str) -> Done:
    """Run where the kernel allows no more user namespaces."""
    words = [*REFUSING, 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh", *COMMAND, "run", *arguments]
    environment = {**ENVIRONMENT, "TICKETFEED_CA_DIR": str(home / "ca")}
    done = subprocess.run(words, cwd=home, env=environment, capture_output=True, check=False, timeout=SECONDS_MAX)
    return Done(done.returncode, done.stdout, done.stderr.decode())


def test_where_the_kernel_refuses(home: Path, stored: dict[str, list[Any]]) -> None:
    """auto leads by the variables alone, and says in one line when they were not used; always is one line and 2."""
    check_walk(
        refused(home, "--", sys.executable, "-c", WALK.format(preparation=PYTHON["requests"]), *TARGET), stored["acme"]
    )
    unused = refused(home, "--", "sh", "-c", "exit 3")
    assert (unused.code, unused.out, unused.err.count("\n")) == (3, b"", 1)
    assert unused.err.startswith(
        "ticketfeed: COMMAND did not use the proxy, and this system does not let it be isolated "
        "(unshare: No space left on device)"
    )
    assert 'see "Programs that read no proxy" in docs/how-to/point-your-connector.md' in unused.err
    always = refused(home, "--isolate", "always", "--", "true")
    assert always.problem == (
        "this system does not let a command be isolated: unshare: No space left on device; see --isolate\n"
    )
    never = refused(home, "--isolate", "never", "--", "true")
    assert (never.code, never.out, never.err) == (0, b"", "")


def test_recipe(home: Path, tmp_path: Path) -> None:
    """What the how-to page has for those who isolate a command by themselves works as written."""
    if not shutil.which("ip"):
        pytest.skip("no iproute2 here")
    page = (ROOT / "docs/how-to/point-your-connector.md").read_text()
    (recipe,) = re.findall(r"^\$ (unshare .*?')$", page, re.M | re.S)
    shutil.copy(home / "ticketfeed.db", tmp_path)
    program = "import urllib.request as r; print(r.urlopen('https://acme.zendesk.com/_ticketfeed/health').status)"
    (tmp_path / "connector").write_text(f"#!{sys.executable}\n{program}\n")
    (tmp_path / "connector").chmod(0o755)
    recipe = recipe.replace("\\\n", "").replace("my-connector", "./connector")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**ENVIRONMENT, "PATH": path, "TICKETFEED_CA_DIR": str(tmp_path / "ca")}
    done = subprocess.run(
        recipe, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"200\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--isolate", "perhaps"), "invalid value for --isolate"),
        (("--host-port", "0"), "--host-port '0' is not a port "),
        (("--host-port", "x"), "--host-port 'x' is not a port "),
        (("--host-port", "443"), "--host-port 443: "),
    ],
)
def test_problems(wrap: Wrap, options: Sequence[str], problem: str) -> None:
    """A mode or a port that is none is one line and 2."""
    assert wrap("true", options=options).problem.startswith(problem)


def test_killed(home: Path) -> None:
    """A command that is killed ends us with 137, and what it left behind reads on nothing of ours."""
    words = [*COMMAND, "run", "--isolate", "always", "--", "sh", "-c", "echo $$; exec sleep 60"]
    environment = {**ENVIRONMENT, "TICKETFEED_CA_DIR": str(home / "ca")}
    with subprocess.Popen(words, cwd=home, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        assert process.wait(SECONDS_MAX) == 137
