"""Certificate bundles: this machine's authority together with the public ones, since allowed hosts are real."""

import contextlib
import hashlib
import ssl
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from ticketfeed.wrap.environment import JAVA_STORE_PASSWORD, TrustFiles

__all__ = ["SYSTEM_FILES", "encode_java_roots", "read_file", "write_trust_files"]

# The public roots of common systems, for an interpreter that was built to look elsewhere.
SYSTEM_FILES = (
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
    extra = read_file(environ.get("NODE_EXTRA_CA_CERTS", ""))
    files.all_roots.write_bytes(b"\n".join([roots, authority_pem]))
    files.extra_root.write_bytes(b"\n".join([extra, authority_pem]))
    files.java_store.write_bytes(_java_store([authority_pem, *_split(roots)]))
    return files


def _public_roots(environ: Mapping[str, str]) -> bytes:
    """The caller's own file if there is one, otherwise the system's, otherwise that of the package certifi."""
    named = [environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    system = ssl.get_default_verify_paths()
    for name in (*named, system.cafile or "", system.openssl_cafile, *SYSTEM_FILES, _certifi()):
        if text := read_file(name):
            return text
    return b""


def _certifi() -> str:
    try:
        import certifi
    except ImportError:
        return ""
    return certifi.where()


def read_file(name: str | Path) -> bytes:
    """Nothing for one that cannot be read."""
    try:
        return Path(name).read_bytes() if name else b""
    except OSError:
        return b""


def _split(pem: bytes) -> Iterator[bytes]:
    for piece in pem.split(_END)[:-1]:
        yield piece[piece.find(b"-----BEGIN") :] + _END + b"\n"


def _java_store(pems: list[bytes]) -> bytes:
    roots = [PKCS12Certificate(each, b"root-%d" % number) for number, each in enumerate(_certificates(pems))]
    return serialize_java_truststore(roots, BestAvailableEncryption(JAVA_STORE_PASSWORD.encode()))


def encode_java_roots(pem: bytes) -> bytes:
    """These roots as the file `cacerts` of a JDK, in its format JKS, which is read with and without the password."""
    certificates = list(_certificates(_split(pem)))
    store = struct.pack(">3I", 0xFEEDFEED, 2, len(certificates))
    for number, certificate in enumerate(certificates):
        der = certificate.public_bytes(Encoding.DER)
        store += struct.pack(">I", 2) + _java_text(f"root-{number}") + struct.pack(">Q", 0) + _java_text("X.509")
        store += struct.pack(">I", len(der)) + der
    key = JAVA_STORE_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite"
    return store + hashlib.sha1(key + store, usedforsecurity=False).digest()


def _java_text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _certificates(pems: Iterable[bytes]) -> Iterable[x509.Certificate]:
    """Each once; roots that only an older library could read are left out."""
    found: dict[x509.Certificate, None] = {}
    for pem in pems:
        with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
            found[x509.load_pem_x509_certificate(pem)] = None
    return found
