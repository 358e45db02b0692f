"""A hash of many tickets that does not depend on their order: equal where the same states of tickets were given.

Each ticket counts as 128 bits of SHA-256 over its id, its position's second and its bytes; the sum of all, modulo
2^128, is the hash. So two halves can be added up, and a part can be compared by itself to find what differs. It finds
accidents, not forgers.
"""

from hashlib import sha256

import msgspec

__all__ = ["FeedHash", "hash_ticket"]

_MODULUS = 2**128


def hash_ticket(id: int, second: int, body: bytes = b"") -> int:
    """One ticket's part in the sum; without `body`, of its position alone."""
    return int.from_bytes(sha256(b"%d %d %b" % (id, second, body)).digest()[:16], "big")


class FeedHash(msgspec.Struct):
    """`total`: the sum over id, second and body of `count` tickets."""

    count: int = 0
    total: int = 0

    @classmethod
    def parse(cls, count: int, text: str) -> "FeedHash":
        """From `count` and `text()`."""
        return cls(count, int(text, 16))

    def add(self, id: int, second: int, body: bytes = b"") -> None:
        self.count += 1
        self.total = (self.total + hash_ticket(id, second, body)) % _MODULUS

    def text(self) -> str:
        """32 hex digits."""
        return f"{self.total:032x}"
