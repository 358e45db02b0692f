"""Idempotency keys: a request that is repeated with its Idempotency-Key gets the answer of the first one."""

from dataclasses import dataclass

__all__ = ["IDEMPOTENCY_SECONDS", "IdempotentAnswer"]

# How long a key is valid, as on the wire.
IDEMPOTENCY_SECONDS = 2 * 3600


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """A stored answer. `fingerprint`: a hash of the request's method, path and body, to recognise another request."""

    fingerprint: str
    stored_at: int
    status: int
    location: str | None
    body: bytes
