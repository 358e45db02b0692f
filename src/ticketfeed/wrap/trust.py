"""Files that tell a program whom to trust: our authority beside the public ones, since allowed hosts are real."""

import ssl
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from ticketfeed.wrap.environment import JAVA_STORE_PASSWORD, TrustFiles

__all__ = ["write_trust_files"]

# Where systems keep the public roots, for an interpreter that was built to look elsewhere.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_END = b"-----END CERTIFICATE-----"


def write_trust_files(folder: Path, authority_pem: bytes, environ: Mapping[str, str]) -> TrustFiles:
    """Our authority and whom the caller trusts so far, in every form there is a variable for."""
    files = TrustFiles(folder / "roots.pem", folder / "root.pem", folder / "roots.p12")
    roots = _public_roots(environ)
    extra = _read(environ.get("NODE_EXTRA_CA_CERTS", ""))
    files.all_roots.write_bytes(b"\n".join([roots, authority_pem]))
    files.extra_root.write_bytes(b"\n".join([extra, authority_pem]))
    files.java_store.write_bytes(_java_store([authority_pem, *_split(roots)]))
    return files


def _public_roots(environ: Mapping[str, str]) -> bytes:
    """The caller's own file if there is one, otherwise the system's, otherwise that of the package certifi."""
    named = [environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    system = ssl.get_default_verify_paths()
    for name in (*named, system.cafile or "", system.openssl_cafile, *_SYSTEM_FILES, _certifi()):
        if text := _read(name):
            return text
    return b""


def _certifi() -> str:
    try:
        import certifi
    except ImportError:
        return ""
    return certifi.where()


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes() if name else b""
    except OSError:
        return b""


def _split(pem: bytes) -> Iterator[bytes]:
    for piece in pem.split(_END)[:-1]:
        yield piece[piece.find(b"-----BEGIN") :] + _END + b"\n"


def _java_store(pems: list[bytes]) -> bytes:
    """Roots that only an older library could read are left out."""
    roots: dict[x509.Certificate, PKCS12Certificate] = {}
    for pem in pems:
        try:
            with warnings.catch_warnings(action="ignore"):
                certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            continue
        roots[certificate] = PKCS12Certificate(certificate, b"root-%d" % len(roots))
    return serialize_java_truststore(list(roots.values()), BestAvailableEncryption(JAVA_STORE_PASSWORD.encode()))
