"""Answers to DNS queries, as a pure function: hosts served here have the address 127.0.0.1, others do not exist.

An isolated command uses no other name server. A hosts file could not do it alone: it has no wildcards.
"""

import ipaddress
import struct
from typing import NamedTuple

from ticketfeed.wrap.hosts import is_served

__all__ = ["Query", "answer_query", "parse_query"]

LOOPBACK = ipaddress.IPv4Address("127.0.0.1").packed
TTL_SECONDS = 60
TYPE_A, TYPE_AAAA, CLASS_IN = 1, 28, 1
NXDOMAIN = 3

# RFC 1035, section 4.1: id, flags, and the numbers of questions, answers, authorities and additional records.
_HEADER = struct.Struct(">6H")
_QUESTION_END = struct.Struct(">2H")
_ANSWER = struct.Struct(">3HIH")
_IS_ANSWER, _OPCODE, _AUTHORITATIVE, _RECURSION_WANTED, _RECURSION = 0x8000, 0x7800, 0x0400, 0x0100, 0x0080
_NAME_OF_QUESTION = 0xC000 | _HEADER.size


class Query(NamedTuple):
    """A query with one question; the name in small letters, without a dot at its end."""

    number: int
    flags: int
    name: str
    kind: int
    question: bytes

    @property
    def wants_address(self) -> bool:
        return self.kind in (TYPE_A, TYPE_AAAA)


def parse_query(packet: bytes) -> Query | None:
    """None for what is no query with one question of the class IN."""
    try:
        number, flags, questions, *_ = _HEADER.unpack_from(packet)
        labels, at = [], _HEADER.size
        while size := packet[at]:
            if size > 63:
                return None
            labels.append(packet[at + 1 : at + 1 + size].decode("ascii").lower())
            at += 1 + size
        kind, klass = _QUESTION_END.unpack_from(packet, at + 1)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if flags & (_IS_ANSWER | _OPCODE) or questions != 1 or klass != CLASS_IN:
        return None
    return Query(number, flags, ".".join(labels), kind, packet[_HEADER.size : at + 1 + _QUESTION_END.size])


def answer_query(query: Query) -> bytes:
    """The packet that answers it."""
    exists = is_served(query.name)
    addresses = [LOOPBACK] if exists and query.kind == TYPE_A else []
    flags = _IS_ANSWER | _AUTHORITATIVE | query.flags & _RECURSION_WANTED | _RECURSION | (0 if exists else NXDOMAIN)
    head = _HEADER.pack(query.number, flags, 1, len(addresses), 0, 0) + query.question
    answers = (_ANSWER.pack(_NAME_OF_QUESTION, TYPE_A, CLASS_IN, TTL_SECONDS, len(each)) + each for each in addresses)
    return head + b"".join(answers)
