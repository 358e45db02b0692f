"""The listening ports of this machine, from Linux's /proc."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["find_listening_ports", "parse_listening_ports"]

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN = "0A"
# 127.0.0.1, 0.0.0.0, ::1 and ::, in words of the machine's byte order.
_ADDRESSES = {"0100007F", "00000000", "0" * 24 + "01000000", "0" * 32, "7F000001", "0" * 31 + "1"}


def find_listening_ports() -> set[int]:
    """Those that are reached at localhost; none where the system has no /proc."""
    found: set[int] = set()
    for table in _TABLES:
        try:
            found.update(parse_listening_ports(Path(table).read_text()))
        except OSError:
            continue
    return found


def parse_listening_ports(table: str) -> Iterator[int]:
    """Each line has the fields number, local address, remote address, and state, among others."""
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, _, port = local.partition(":")
        if state == _LISTEN and address in _ADDRESSES:
            yield int(port, 16)
