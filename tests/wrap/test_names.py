"""The answers to DNS queries, held against packets that an independent library's format documents (RFC 1035)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.wrap.names import answer_query, parse_query

HEADER = struct.Struct(">6H")


def query_of(name: str, kind: int = 1, flags: int = 0x0100, klass: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return HEADER.pack(7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, klass)


def answered(packet: bytes) -> tuple[int, bytes]:
    """The response code, and what stands behind the question."""
    query = parse_query(packet)
    assert query
    answer = answer_query(query)
    number, flags, questions, answers, *_ = HEADER.unpack_from(answer)
    assert (number, questions, flags & 0x8100) == (7, 1, 0x8100)
    assert answer[12:].startswith(packet[12:])
    rest = answer[len(packet) :]
    assert (answers == 1) == bool(rest)
    return flags & 15, rest


ADDRESS = bytes.fromhex("c00c 0001 0001 0000003c 0004") + bytes([127, 0, 0, 1])


@pytest.mark.parametrize("name", ["acme.zendesk.com", "Acme.ZENDESK.com", "any-desk.zendesk.com", "desk.localhost"])
def test_served(name: str) -> None:
    """A host that is served here has the address 127.0.0.1, and no other; it exists for every kind of question."""
    assert answered(query_of(name)) == (0, ADDRESS)
    for kind in (28, 15, 65):
        assert answered(query_of(name, kind)) == (0, b"")


@pytest.mark.parametrize("name", ["zendesk.com", "a.b.zendesk.com", "acme.zendesk.com.evil.example", "example.org", ""])
def test_others(name: str) -> None:
    """Every other host does not exist."""
    assert answered(query_of(name)) == (3, b"")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        query_of("acme.zendesk.com")[:-1],
        query_of("acme.zendesk.com", flags=0x8100),
        query_of("acme.zendesk.com", flags=0x2800),
        query_of("acme.zendesk.com", klass=3),
        HEADER.pack(7, 0, 2, 0, 0, 0) + query_of("acme.zendesk.com")[12:],
        HEADER.pack(7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        HEADER.pack(7, 0, 1, 0, 0, 0) + b"\2\xff\xfe\0\0\1\0\1",
    ],
)
def test_no_query(packet: bytes) -> None:
    """What is no question of the Internet about one name has no answer."""
    assert parse_query(packet) is None


@given(st.binary(max_size=100))
def test_any_bytes(packet: bytes) -> None:
    """Any bytes are a query or none."""
    query = parse_query(HEADER.pack(7, 0, 1, 0, 0, 0) + packet)
    assert query is None or answer_query(query)
