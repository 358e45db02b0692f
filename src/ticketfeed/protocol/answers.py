"""What was answered to a request that carried an Idempotency-Key: the same request again gets the same answer."""

from dataclasses import dataclass

__all__ = ["ANSWER_SECONDS", "KeptAnswer"]

# How long a key is remembered.
ANSWER_SECONDS = 2 * 3600


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """`fingerprint` tells whether it is the same request: a hash of its method, path and body."""

    fingerprint: str
    kept_at: int
    status: int
    location: str | None
    body: bytes
