"""Decoding of records that are stored already, whatever release stored them.

A record is checked when it is loaded or written, against the type that it is read as. An older release checked less:
what it let in and this one would refuse is left out when it is read, so that an address can answer all the same.
`ticketfeed check` names such records.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

__all__ = ["StoredDecoder"]

T = TypeVar("T")

_SPLIT = msgspec.json.Decoder(dict[str, Raw])
_PATH = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
# The values of required keys that were stored in a form that can no longer be read.
_NEUTRAL: dict[str, Any] = {
    "instance_id": 0,
    "metric": "unknown",
    "type": "unknown",
    "time": "1970-01-01T00:00:00Z",
    "created_at": "1970-01-01T00:00:00Z",
}
# Each attempt leaves out one value.
_ATTEMPTS_MAX = 1000


class StoredDecoder(Generic[T]):
    """Decodes stored records as one type."""

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        self._decoder = msgspec.json.Decoder(type_)
        self._array = msgspec.json.Decoder(list[type_])  # type: ignore[valid-type]  # a type made at run time

    def decode(self, body: bytes) -> T:
        """The record, without values that are not of the type."""
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return self._mended(body)

    def decode_all(self, bodies: Collection[bytes]) -> list[T]:
        """Several records, at once where they are of the type."""
        try:
            return self._array.decode(b"[%s]" % b",".join(bodies)) if bodies else []
        except (msgspec.DecodeError, RecursionError):
            return [self.decode(body) for body in bodies]

    def mend(self, body: bytes) -> dict[str, Any]:
        """The keys of the record, without values that are not of the type: what can be stored again."""
        return self._mend(body)[0]

    def _mended(self, body: bytes) -> T:
        return self._mend(body)[1]

    def _mend(self, body: bytes) -> tuple[dict[str, Any], T]:
        record = _readable(body)
        for _ in range(_ATTEMPTS_MAX):
            try:
                return record, msgspec.convert(record, self._type)
            except msgspec.ValidationError as error:
                if not _leave_out(record, str(error)):
                    raise
        return record, msgspec.convert(record, self._type)


def _readable(body: bytes) -> dict[str, Any]:
    """The keys of a record whose values can be decoded at all."""
    record = {}
    for key, value in _SPLIT.decode(body).items():
        with suppress(msgspec.DecodeError, RecursionError):  # a number of thousands of digits, or too deep
            record[key] = msgspec.json.decode(value)
    return record


def _leave_out(record: dict[str, Any], problem: str) -> bool:
    """Take the value that a message of the decoder names out of the record; whether there was one."""
    missing = _MISSING.fullmatch(problem)
    if missing and missing[1] in _NEUTRAL:
        record[missing[1]] = _NEUTRAL[missing[1]]
        return True
    match = _PATH.search(problem)
    steps = [name or int(number) for name, number in _STEP.findall(match[1])] if match else []
    if not steps:
        return False
    *way, last = steps
    place: Any = record
    for step in way:
        place = place[step]
    del place[last]
    return True
