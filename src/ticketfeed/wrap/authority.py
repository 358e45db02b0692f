"""The certificate authority of this machine, as a value: created, encoded as text, decoded, and issuing certificates.

Whoever trusts it trusts it for the hosts of help desks and for this machine, and for nothing else. Clients trust a
root, which has signed one issuer and will sign no more, since its key is thrown away at once. What the issuer may
vouch for stands in its certificate; in the root's too, but Java does not hold a root to that. All keys are P-256.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ticketfeed.wrap.hosts import ZENDESK

__all__ = ["Authority", "make_authority", "read_authority", "root_hash"]

DAY_SECONDS = 86_400
AUTHORITY_DAYS = 5 * 365
# No client takes a server's certificate that is good for longer than this.
SERVER_DAYS = 397
# Clocks differ; those of some clients are a little behind.
BEFORE_DAYS = 1

_PERMITTED = (
    x509.DNSName(ZENDESK),
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
    x509.IPAddress(ipaddress.ip_network("::1/128")),
)
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True, slots=True)
class Authority:
    """The root that clients trust, and the issuer, whose key alone is stored."""

    root: x509.Certificate
    issuer: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ends(self) -> int:
        """The second from which nobody believes it any more."""
        return int(self.root.not_valid_after_utc.timestamp())

    @property
    def root_pem(self) -> bytes:
        """The certificate that clients trust. It holds no secret."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def issuer_pem(self) -> bytes:
        """The issuer's key, which is the secret, and its certificate."""
        return _encode_key(self.key) + self.issuer.public_bytes(serialization.Encoding.PEM)

    def issue(self, names: Sequence[str], now: int) -> bytes:
        """A new key for these hosts and addresses, with the chain of certificates up to the root, as one text."""
        key = ec.generate_private_key(ec.SECP256R1())
        # The host name is in the extension; a subject is limited to 64 characters.
        builder = _builder("ticketfeed server", key, now, min(now + SERVER_DAYS * DAY_SECONDS, self.ends))
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .issuer_name(self.issuer.subject)
            .add_extension(_signed_by(self.key), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        chain = (each.public_bytes(serialization.Encoding.PEM) for each in (certificate, self.issuer))
        return _encode_key(key) + b"".join(chain)


def make_authority(now: int) -> Authority:
    """A new one."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # Each has a name of its own: two with the same name and different keys confuse clients that trust both.
    name = f"ticketfeed on this machine ({_identity(root_key).digest.hex()[:8]})"
    root = (
        _authority_builder(name, root_key, now, path_length=1).issuer_name(_name(name)).sign(root_key, hashes.SHA256())
    )
    issuer = (
        _authority_builder(f"{name}, issuer", key, now, path_length=0)
        .issuer_name(root.subject)
        .add_extension(_signed_by(root_key), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Authority(root, issuer, key)


def read_authority(root_pem: bytes, issuer_pem: bytes) -> Authority:
    """The authority that was written as these texts. Raises ValueError where they are no such thing."""
    root, issuer = (x509.load_pem_x509_certificate(pem) for pem in (root_pem, issuer_pem))
    key = serialization.load_pem_private_key(issuer_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuer.public_key():
        raise ValueError("the key is another certificate's")
    try:
        issuer.verify_directly_issued_by(root)
    except InvalidSignature:
        raise ValueError("the issuer is another root's") from None
    return Authority(root, issuer, key)


def root_hash(root_pem: bytes) -> str:
    """What OpenSSL calls this root's file in a folder of certificates, as `openssl x509 -hash` does.

    It is made from the name in small letters, as ours are, without the two bytes that begin its outermost sequence.
    """
    name = x509.load_pem_x509_certificate(root_pem).subject.public_bytes()[2:]
    return hashlib.sha1(name, usedforsecurity=False).digest()[3::-1].hex()


def _builder(name: str, key: ec.EllipticCurvePrivateKey, now: int, until: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - BEFORE_DAYS * DAY_SECONDS, UTC))
        .not_valid_after(datetime.fromtimestamp(until, UTC))
        .add_extension(_identity(key), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _authority_builder(
    name: str, key: ec.EllipticCurvePrivateKey, now: int, path_length: int
) -> x509.CertificateBuilder:
    return (
        _builder(name, key, now, now + AUTHORITY_DAYS * DAY_SECONDS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=_PERMITTED, excluded_subtrees=None), critical=True)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _identity(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _signed_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_identity(key))


def _usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
