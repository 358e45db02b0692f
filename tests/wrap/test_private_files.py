"""Which files an isolated command sees in place of the system's, and where its own roots are found."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ticketfeed.clock import system_clock
from ticketfeed.wrap.authority import make_authority, root_hash
from ticketfeed.wrap.interpreters import find_certificates, find_interpreter, find_java_roots
from ticketfeed.wrap.listeners import parse_listening_ports
from ticketfeed.wrap.private_files import write_private_files
from ticketfeed.wrap.trust import encode_java_roots


def program(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment with certifi, as far as its files go."""
    folder = tmp_path / "environment" / "lib" / "python3.12" / "site-packages" / "certifi"
    folder.mkdir(parents=True)
    (folder / "cacert.pem").write_text("roots\n")
    return program(tmp_path / "environment" / "bin" / "python3.12", "")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment `.venv` of the current folder counts, too; here is none."""
    monkeypatch.chdir(tmp_path)


HEADS = {
    "direct": "#!{python}\n",
    "with an option": "#!{python} -sE\n",
    "env": "#!/usr/bin/env python3.12\n",
    "env with options": "#!/usr/bin/env -S python3.12 -u\n",
    "a path too long for a first line": "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\nimport x\n",
}


@pytest.mark.parametrize("head", HEADS)
def test_interpreter(tmp_path: Path, python: Path, head: str) -> None:
    """The first line of a program leads to its Python, and that to its certifi."""
    connector = program(tmp_path / "tools" / "connector", HEADS[head].format(python=python))
    path = f"{tmp_path / 'tools'}{os.pathsep}{python.parent}"
    for word in ("connector", str(connector)):
        assert find_interpreter(word, path) == str(python)
        found = find_certificates([word, "--python"], {"PATH": path})
        assert [file.read_text() for file in found] == ["roots\n"]


def test_other_pythons(tmp_path: Path, python: Path) -> None:
    """The interpreter itself, one behind a link, the active environment and a folder of packages lead there, too."""
    environment = python.parent.parent
    link = tmp_path / "links" / "python3"
    link.parent.mkdir()
    link.symlink_to(python)
    packages = {"PYTHONPATH": str(next(environment.glob("lib/*/*"))), "PATH": ""}
    for command, environ in (
        ([str(python)], {"PATH": ""}),
        ([str(link)], {"PATH": ""}),
        (["sh", "-c", "python3 x"], {"PATH": str(link.parent)}),
        (["sh", "-c", f"{link} x > y"], {"PATH": ""}),
        (["env", "A=b", str(link), "x"], {"PATH": ""}),
        (["sh"], {"PATH": "", "VIRTUAL_ENV": str(environment)}),
        (["sh"], packages),
    ):
        found = find_certificates(command, environ)
        assert {os.path.realpath(file) for file in found} >= {
            str(file) for file in environment.glob("lib/*/*/certifi/*")
        }, command


@pytest.mark.parametrize("text", ["", "#!", "#!/bin/sh\n", "#!/bin/sh\n'''exec' \"x\n", "\x7fELF\0", "import x\n"])
def test_no_interpreter(tmp_path: Path, text: str) -> None:
    """A program of another kind has none."""
    assert find_interpreter(str(program(tmp_path / "other", text)), "") is None
    assert find_interpreter("not-there", "") is None


def test_java(tmp_path: Path) -> None:
    """A JDK is found as the command, by JAVA_HOME, and on PATH."""
    java = program(tmp_path / "jdk" / "bin" / "java", "")
    roots = tmp_path / "jdk" / "lib" / "security" / "cacerts"
    roots.parent.mkdir(parents=True)
    roots.touch()
    for command, environ in (
        ([str(java)], {"PATH": ""}),
        (["sh"], {"PATH": str(java.parent)}),
        (["sh"], {"PATH": "", "JAVA_HOME": str(java.parent.parent)}),
    ):
        assert find_java_roots(command, environ) == [roots]


def test_java_roots_are_read_by_java(tmp_path: Path) -> None:
    """keytool reads the roots, with the usual password."""
    if not shutil.which("keytool"):
        pytest.skip("no Java here")
    pems = [make_authority(system_clock()).root_pem for _ in range(3)]
    (tmp_path / "cacerts").write_bytes(encode_java_roots(b"".join(pems)))
    words = ["keytool", "-list", "-keystore", str(tmp_path / "cacerts"), "-storepass", "changeit"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.count("trustedCertEntry") == 3


def test_root_hash() -> None:
    """The name of a root's file is the one that OpenSSL looks for."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    pem = make_authority(system_clock()).root_pem
    words = ["openssl", "x509", "-hash", "-noout"]
    assert subprocess.run(words, input=pem, capture_output=True, check=True).stdout.decode() == f"{root_hash(pem)}\n"


def test_private_files(tmp_path: Path, python: Path) -> None:
    """Each file is what it was, with ours in it; each is there once, under its real name."""
    pem = make_authority(system_clock()).root_pem
    files = write_private_files(_new(tmp_path / "private"), pem, ["acme", "beta"], [str(python)], {"PATH": ""})
    targets = [target for _, target in files.files]
    assert len(set(targets)) == len(targets)
    assert all(os.path.realpath(target) == target for target in targets)
    private = {target: Path(source).read_bytes() for source, target in files.files}
    (certifi,) = python.parent.parent.glob("lib/*/*/certifi/cacert.pem")
    assert private[str(certifi)] == b"roots\n\n" + pem
    hosts = private["/etc/hosts"].decode().splitlines()
    assert hosts[:2] == ["127.0.0.1 acme.zendesk.com", "127.0.0.1 beta.zendesk.com"]
    assert hosts[2:] == Path("/etc/hosts").read_text().splitlines()
    for source, _ in files.folders:
        assert [file.read_bytes() for file in Path(source).iterdir()] == [pem]


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_listening_ports() -> None:
    """Those at localhost or at every address, of either family, that listen."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    rows = [
        "0100007F:1F90 00000000:0000 0A",  # 127.0.0.1:8080
        "00000000:0050 00000000:0000 0A",  # 0.0.0.0:80
        "00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A",  # [::1]:5432
        "00000000000000000000000000000000:1539 00000000000000000000000000000000:0000 0A",  # [::]:5433
        "0100007F:C000 0100007F:1F90 01",  # a connection
        "3500007F:0035 00000000:0000 0A",  # 127.0.0.53:53
        "0200A8C0:0016 00000000:0000 0A",  # 192.168.0.2:22
    ]
    table = head + "".join(f"   {number}: {row} 00000000:00000000 00:0\n" for number, row in enumerate(rows))
    assert list(parse_listening_ports(table)) == [8080, 80, 5432, 5433]
