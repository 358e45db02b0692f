"""Idempotency keys: a request that is repeated with its Idempotency-Key gets the answer of the first one."""

from dataclasses import dataclass

__all__ = ["IDEMPOTENCY_SECONDS", "IdempotentAnswer", "stored_key"]

# How long a key is valid, as on the wire.
IDEMPOTENCY_SECONDS = 2 * 3600


def stored_key(key: str, user_id: int) -> str:
    """A key as it is stored. It belongs to its user: nobody else may see, or take, the answer."""
    return f"{user_id} {key}"


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """A stored answer. `fingerprint`: a hash of the request's method, path and body, to recognise another request."""

    fingerprint: str
    stored_at: int
    status: int
    location: str | None
    body: bytes
