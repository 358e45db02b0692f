"""Hashes of secrets, as they are stored."""

from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

__all__ = ["PASSWORD_CHARS_MIN", "TOKEN_CHARS_MIN", "hash_password", "hash_token", "is_password"]

# A token can be tried as fast as the server answers; of passwords, few are checked.
TOKEN_CHARS_MIN = 16
# NIST SP 800-63B, 5.1.1.1.
PASSWORD_CHARS_MIN = 8
_HASHER = PasswordHasher()


def hash_token(token: str) -> str:
    """SHA-256 of an API token, in hex. Tokens are long and random, so a slow hash would add no safety."""
    return sha256(token.encode()).hexdigest()


def hash_password(password: str) -> str:
    """Argon2 hash of a password, with its salt and cost."""
    return _HASHER.hash(password)


def is_password(password: str, stored: str) -> bool:
    """Whether `stored` is the hash of this password. Takes tens of milliseconds."""
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
