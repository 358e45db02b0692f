"""The JSON body of a request that writes -> typed values. Errors name the field at fault, as the wire does."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import MalformedRequest, RecordInvalid

__all__ = ["UNREADABLE", "InputParser", "decode_input", "take_envelope"]

T = TypeVar("T")
# Where msgspec says which field is at fault: "Expected `int`, got `str` - at `$.requester_id`".
_FIELD = re.compile(r"at `\$\.([A-Za-z_]+)")
_ENVELOPE = msgspec.json.Decoder(dict[str, Raw])
# What a decoder of JSON raises for text from outside: also where it is nested too deeply, or is no UTF-8.
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class InputParser(Generic[T]):
    """Parses one kind of record as clients send it: `type_` is the type of its values, `key` the key of the body that
    holds them. `check` raises RecordInvalid for values of the right type that cannot be written."""

    def __init__(self, key: str, type_: type[T], check: Callable[[T], None]) -> None:
        self._key, self._type, self._check = key, type_, check
        self._value = msgspec.json.Decoder(type_)
        # The body and the record in it by one decode.
        body: Any = msgspec.defstruct("Body", [("record", type_)], rename={"record": key})
        self._body = msgspec.json.Decoder(body)

    def parse_body(self, body: bytes) -> T:
        """`body`: `{key: values}`. Raises MalformedRequest, RecordInvalid."""
        try:
            value: T = self._body.decode(body).record
        except UNREADABLE:  # again in two steps, to tell a bad body from a bad record
            return self.parse(take_envelope(body, self._key))
        self._check(value)
        return value

    def parse(self, data: bytes) -> T:
        """`data`: the values alone. Raises MalformedRequest, RecordInvalid."""
        value = decode_input(self._value, data)
        self._check(value)
        return value

    def convert(self, values: Mapping[str, Any]) -> T:
        """`values`: the same, decoded already. Raises RecordInvalid."""
        try:
            value = msgspec.convert(values, self._type)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        self._check(value)
        return value


def take_envelope(body: bytes, key: str) -> bytes:
    """The JSON value under `key` of an object. Raises MalformedRequest."""
    try:
        envelope = _ENVELOPE.decode(body)
    except UNREADABLE:
        raise MalformedRequest(f'The body must be a JSON object such as {{"{key}": ...}}') from None
    if key not in envelope:
        raise MalformedRequest(f"Parameter {key} is required")
    value = bytes(envelope[key])
    if value[:1] not in (b"{", b"["):
        raise MalformedRequest(f"Parameter {key} must hold an object or an array, not a text, a number or null")
    return value


def decode_input(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """Decode the values of a record. Raises RecordInvalid for a wrong type, MalformedRequest for bad JSON."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise MalformedRequest("The body is not valid JSON") from None


def _invalid(error: msgspec.ValidationError) -> RecordInvalid:
    field = _FIELD.search(str(error))
    text, _, _ = str(error).partition(" - at ")
    return RecordInvalid(**{field[1] if field else "base": (text[:1].lower() + text[1:], "InvalidValue")})
