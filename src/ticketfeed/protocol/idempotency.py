"""What was answered to a request that carried an Idempotency-Key: the same request again gets the same answer."""

from dataclasses import dataclass

__all__ = ["IDEMPOTENCY_SECONDS", "IdempotentAnswer"]

# How long a key is remembered.
IDEMPOTENCY_SECONDS = 2 * 3600


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """`fingerprint` tells whether it is the same request: a hash of its method, path and body."""

    fingerprint: str
    stored_at: int
    status: int
    location: str | None
    body: bytes
