"""`ticketfeed serve --tls`: https under the local authority's certificates, or under one from files."""

import http.client
import json
import random
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.process.conftest import PATH, TOKEN, Running, Start, run
from tests.waiting import SECONDS_MAX, wait_until
from ticketfeed.clock import system_clock
from ticketfeed.wrap.authority import make_authority

TARGET = f"{PATH}.json?start_time=0&per_page=1"


def ask(server: Running, trusted: Path, host: str) -> http.client.HTTPResponse:
    """The answer to a client that checks the certificate for this host."""
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        socket.create_connection(server.address, timeout=SECONDS_MAX) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        connection = http.client.HTTPConnection(host)
        connection.sock = secure
        connection.request("GET", TARGET, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.usefixtures("folder")
def test_local_authority(serve: Start, tmp_path: Path, workers: str) -> None:
    """Whoever trusts the file that `ca` prints reaches it under each of its names; after_url says https."""
    environment = {"TICKETFEED_CA_DIR": str(tmp_path / "ca")}
    server = serve("--tls", "--workers", workers, env=environment)
    assert server.output[0].startswith("ready: https://127.0.0.1:")
    shown = run("ca", cwd=tmp_path, env=environment)
    trusted = Path(shown.out.decode().strip())
    for host in ("localhost", "127.0.0.1", "acme.localhost", "demo.zendesk.com"):
        answer = ask(server, trusted, host)
        page = json.loads(answer.body)  # type: ignore[attr-defined]
        assert answer.status == 200
        assert page["after_url"].startswith(f"https://{host}{PATH}.json?cursor=")
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(server, trusted, "example.com")
    assert server.end() == 0
    assert {line["level"] for line in server.logs} == {"info"}


@pytest.mark.usefixtures("folder")
def test_own_certificate(serve: Start, tmp_path: Path) -> None:
    """With --tls-cert and --tls-key that certificate is shown, and no authority is made."""
    authority = make_authority(system_clock())
    pem = authority.issue(["tickets.localhost"], system_clock())
    cut = pem.index(b"-----BEGIN CERTIFICATE")
    for name, text in (("key.pem", pem[:cut]), ("cert.pem", pem[cut:]), ("ca.pem", authority.root_pem)):
        (tmp_path / name).write_bytes(text)
    environment = {"TICKETFEED_CA_DIR": str(tmp_path / "ca")}
    server = serve("--tls-cert", "cert.pem", "--tls-key", "key.pem", env=environment)
    assert ask(server, tmp_path / "ca.pem", "tickets.localhost").status == 200
    assert not (tmp_path / "ca").exists()
    for options in (
        ["--tls-cert", "cert.pem"],
        ["--tls-key", "key.pem"],
        ["--tls-cert", "none", "--tls-key", "key.pem"],
    ):
        assert run("serve", "--port", "0", *options, cwd=tmp_path).problem


@pytest.mark.usefixtures("folder")
def test_rough(serve: Start, tmp_path: Path) -> None:
    """What is not TLS, or only half of it, is closed without a word, and the next client is served."""
    environment = {"TICKETFEED_CA_DIR": str(tmp_path / "ca")}
    server = serve("--tls", env=environment)
    half = bytes.fromhex("16030100c8010000c40303") + b"\0" * 50
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 20, half, b""):
        with server.connect() as rough:
            rough.sendall(sent)
            rough.shutdown(socket.SHUT_WR)
            rough.settimeout(SECONDS_MAX)
            while rough.recv(1000):
                pass
    waiting = server.connect()
    assert ask(server, tmp_path / "ca" / "ca.pem", "localhost").status == 200
    server.process.terminate()
    started = time.monotonic()
    wait_until(lambda: server.process.poll() is not None, seconds=20)
    waiting.close()
    assert time.monotonic() - started < 20
    assert {line["level"] for line in server.logs} == {"info"}


@pytest.mark.usefixtures("folder")
def test_noise(serve: Start, tmp_path: Path) -> None:
    """Noise in place of a handshake, handshakes cut off, and noise inside TLS: refused or dropped, never a fault."""
    chance = random.Random(2)
    server = serve("--tls", env={"TICKETFEED_CA_DIR": str(tmp_path / "ca")})
    trusting = ssl._create_unverified_context()
    for number in range(60):
        with socket.create_connection(server.address, timeout=SECONDS_MAX) as plain:
            hello = b"\x16\x03\x01" + chance.randbytes(2) if number % 2 else b""
            plain.sendall(hello + chance.randbytes(chance.randrange(200)))
    for _ in range(40):
        with (
            socket.create_connection(server.address, timeout=SECONDS_MAX) as plain,
            trusting.wrap_socket(plain, server_hostname="acme.zendesk.com") as secure,
        ):
            secure.sendall(chance.randbytes(chance.randrange(1, 200)) + b"\r\n\r\n")
            answer = secure.recv(1000)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    with (
        socket.create_connection(server.address, timeout=SECONDS_MAX) as plain,
        trusting.wrap_socket(plain, server_hostname="acme.zendesk.com") as secure,
    ):
        head = f"GET {TARGET} HTTP/1.1\r\nHost: acme.zendesk.com\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        secure.sendall(head.encode())
        assert secure.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.end() == 0
    assert not [line for line in server.logs if line["level"] == "error"]
