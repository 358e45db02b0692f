"""The authority: what it can vouch for, how it is kept, and what a server that has it shows."""

import ipaddress
import os
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.authority import Authority, make_authority, read_authority
from ticketfeed.wrap.ca_folder import RENEWED_BEFORE_SECONDS, choose_ca_folder, open_authority
from ticketfeed.wrap.contexts import file_context, local_context, read_certificate
from ticketfeed.wrap.environment import JAVA_STORE_PASSWORD
from ticketfeed.wrap.trust import write_trust_files

DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority(system_clock())


def handshake(server: ssl.SSLContext, trusted: Authority, host: str) -> bytes:
    """The certificate that a strict client accepted for this host. Raises ssl.SSLError where it did not."""
    client = ssl.create_default_context(cadata=trusted.root_pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(down, up, server_hostname=host)
    there = server.wrap_bio(up, down, server_side=True)
    for side in (here, there, here, there):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = here.getpeercert(binary_form=True)
    assert certificate
    return certificate


NAMES = {
    "acme.zendesk.com": True,
    "localhost": True,
    "acme.localhost": True,
    "127.0.0.1": True,
    "::1": True,
    "example.com": False,
    "acme.evilzendesk.com": False,
    "evilzendesk.com": False,
    "zendesk.com.example.org": False,
    "192.0.2.1": False,
    "2001:db8::1": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_what_it_can_vouch_for(authority: Authority, name: str) -> None:
    """Even a certificate that it has signed is refused outside help desks and this machine."""
    context = file_context(authority.issue([name], system_clock()))
    if NAMES[name]:
        handshake(context, authority, name)
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            handshake(context, authority, name)


@pytest.mark.parametrize(("name", "path_length"), [("root", 1), ("issuer", 0)])
def test_limits(authority: Authority, name: str, path_length: int) -> None:
    """Both certificates say what may be vouched for, as some clients do not ask the root; a third cannot follow."""
    extensions = getattr(authority, name).extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, path_length)
    names = extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert [each.value for each in names.value.permitted_subtrees or ()] == [
        "zendesk.com",
        "localhost",
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    ]


def test_the_roots_key_is_gone(authority: Authority) -> None:
    """What is kept cannot sign in the root's name: its key is the issuer's."""
    assert authority.key.public_key() == authority.issuer.public_key()
    assert authority.key.public_key() != authority.root.public_key()
    assert authority.issuer_pem.count(b"PRIVATE KEY-----") == 2
    assert b"PRIVATE KEY" not in authority.root_pem


def test_certificate_for_each_name(authority: Authority) -> None:
    """A server shows a certificate for exactly the name it is asked for, the same one each time; else its default."""
    server = local_context(authority.root_pem, authority.issuer_pem)
    for host in ("acme.zendesk.com", "other.zendesk.com", "acme.localhost"):
        shown = handshake(server, authority, host)
        names = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.value.get_values_for_type(x509.DNSName) == [host]
        assert handshake(server, authority, host) == shown
    handshake(server, authority, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, authority, "example.com")


def test_lifetimes(authority: Authority) -> None:
    """A certificate is good from a day ago and for a year, never longer than its authority."""
    now = system_clock()

    def ends(issued_at: int) -> int:
        certificate = x509.load_pem_x509_certificate(authority.issue(["localhost"], issued_at))
        assert certificate.not_valid_before_utc.timestamp() == issued_at - DAY_SECONDS
        return int(certificate.not_valid_after_utc.timestamp())

    assert ends(now) == now + 397 * DAY_SECONDS
    assert ends(authority.ends - DAY_SECONDS) == authority.ends


def test_folder(tmp_path: Path) -> None:
    """The folder and what is in it are the user's alone; the authority is made once."""
    old = os.umask(0)
    try:
        made = open_authority(tmp_path / "a" / "b", system_clock())
    finally:
        os.umask(old)
    folder = tmp_path / "a" / "b"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "ca.pem": 0o600,
        "issuer.pem": 0o600,
    }
    assert open_authority(folder, system_clock()).root == made.root
    assert (folder / "ca.pem").read_bytes() == made.root_pem


def test_at_once(tmp_path: Path) -> None:
    """Several that start at once agree on one authority."""
    made: list[x509.Certificate] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        made.append(open_authority(tmp_path / "ca", system_clock()).root)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1


def test_renewed(tmp_path: Path) -> None:
    """It is made anew half a year before it ends, not earlier."""
    now = system_clock()
    first = open_authority(tmp_path / "ca", now)
    assert open_authority(tmp_path / "ca", first.ends - RENEWED_BEFORE_SECONDS).root == first.root
    second = open_authority(tmp_path / "ca", first.ends - RENEWED_BEFORE_SECONDS + 1)
    assert second.ends > first.ends
    assert second.root.subject != first.root.subject


@pytest.mark.parametrize(
    "damage", ["empty key", "no key", "no certificate", "another issuer", "another key", "garbage", "a part"]
)
def test_cut_short(tmp_path: Path, damage: str) -> None:
    """A making that was cut short is done again, and gives a pair that fits."""
    folder = tmp_path / "ca"
    open_authority(folder, system_clock())
    match damage:
        case "empty key":
            (folder / "issuer.pem").write_bytes(b"")
        case "no key":
            (folder / "issuer.pem").unlink()
        case "no certificate":
            (folder / "ca.pem").unlink()
        case "another issuer":
            (folder / "issuer.pem").write_bytes(make_authority(system_clock()).issuer_pem)
        case "another key":
            issuer = (folder / "issuer.pem").read_bytes()
            other = make_authority(system_clock()).issuer_pem
            cut = issuer.index(b"-----BEGIN CERTIFICATE")
            (folder / "issuer.pem").write_bytes(other[: other.index(b"-----BEGIN CERTIFICATE")] + issuer[cut:])
        case "garbage":
            (folder / "ca.pem").write_bytes(bytes(range(256)))
        case "a part":
            (folder / "ca.pem.part").write_bytes(b"half")
            (folder / "ca.pem").unlink()
    authority = open_authority(folder, system_clock())
    kept = read_authority((folder / "ca.pem").read_bytes(), (folder / "issuer.pem").read_bytes())
    assert kept.root == authority.root
    handshake(local_context(authority.root_pem, authority.issuer_pem), authority, "acme.zendesk.com")


def test_open_folder(tmp_path: Path) -> None:
    """A folder that others can look into is refused, and left as it is."""
    tmp_path.chmod(0o755)
    with pytest.raises(BadInput, match="must be private"):
        open_authority(tmp_path, system_clock())
    assert not list(tmp_path.iterdir())


def test_impossible_folder(tmp_path: Path) -> None:
    """A folder that cannot be is an error of one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="for certificates"):
        open_authority(tmp_path / "file" / "ca", system_clock())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/s"}, "/s/ticketfeed"),
        ({}, "~/.local/state/ticketfeed"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/ticketfeed"),
    ],
)
def test_where_it_is_kept(environ: dict[str, str], expected: str) -> None:
    """With the user's other state; a relative XDG_STATE_HOME counts as none, as its specification has it."""
    assert choose_ca_folder(environ) == Path(expected).expanduser()


def test_own_certificate(tmp_path: Path, authority: Authority) -> None:
    """A certificate from files is shown as it is; files that do not fit together are refused with a reason."""
    pem = authority.issue(["localhost"], system_clock())
    cut = pem.index(b"-----BEGIN CERTIFICATE")
    key, certificate, both = tmp_path / "key", tmp_path / "certificate", tmp_path / "both"
    for file, text in ((key, pem[:cut]), (certificate, pem[cut:]), (both, pem)):
        file.write_bytes(text)
    for read in (read_certificate(both, None), read_certificate(certificate, key)):
        handshake(file_context(read), authority, "localhost")
    other = tmp_path / "other"
    other.write_bytes(make_authority(system_clock()).issuer_pem)
    cases = [(certificate, other), (certificate, None), (key, None), (tmp_path / "none", None), (tmp_path, None)]
    for wrong, its_key in cases:
        with pytest.raises(BadInput):
            read_certificate(wrong, its_key)


def test_trust_files(tmp_path: Path, authority: Authority) -> None:
    """Whom the caller trusts is trusted still, beside our authority, in each form; what nobody can read is left out."""
    other, broken = make_authority(system_clock()), b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    caller = tmp_path / "caller.pem"
    caller.write_bytes(b"# a comment\n" + other.root_pem + broken)
    environ = {"SSL_CERT_FILE": str(tmp_path / "none"), "REQUESTS_CA_BUNDLE": str(caller)}
    files = write_trust_files(tmp_path, authority.root_pem, environ)
    assert other.root_pem in files.all_roots.read_bytes()
    assert authority.root_pem in files.all_roots.read_bytes()
    assert files.extra_root.read_bytes().strip() == authority.root_pem.strip()
    store = pkcs12.load_pkcs12(files.java_store.read_bytes(), JAVA_STORE_PASSWORD.encode())
    assert {each.certificate for each in store.additional_certs} == {authority.root, other.root}


def test_systems_roots(tmp_path: Path, authority: Authority) -> None:
    """Without a file of the caller's, the system's or certifi's roots are there."""
    files = write_trust_files(tmp_path, authority.root_pem, {})
    assert files.all_roots.read_bytes().count(b"BEGIN CERTIFICATE") > 20
