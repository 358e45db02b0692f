"""The name and the addresses of a person who was deleted for good, where tickets and their audits repeat them.

An email address or a phone number is erased wherever it stands, and a name of several words; a name of one word, which
may be a word of any text, only where it is a whole value, as in the `via` of an email.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ticketfeed.protocol.erasure import ERASED_TEXT, without_reasons
from ticketfeed.protocol.records import encode

__all__ = ["Person", "encode_text"]

# Shorter numbers are found in too many others.
PHONE_CHARS_MIN = 7
# Keys whose values are words of the wire.
_WIRE_KEYS = frozenset(
    ("id", "url", "type", "status", "priority", "field_name", "channel", "rel", "metric", "score", "support_type")
)


class Person:
    """What identifies a user, taken from the record as it was, and from the values of the identities."""

    def __init__(self, user: dict[str, Any], identities: Sequence[str] = ()) -> None:
        def text(key: str) -> str:
            value = user.get(key)
            return value.strip() if isinstance(value, str) else ""

        self._name = text("name")
        anywhere = [text("email"), *(each for each in (text("phone"), *identities) if len(each) >= PHONE_CHARS_MIN)]
        anywhere += [self._name] if len(self._name.split()) > 1 else []
        self._anywhere = [each for each in anywhere if each]
        words = "|".join(map(re.escape, self._anywhere))
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None

    @property
    def needles(self) -> list[bytes]:
        """Bytes of which a body contains some if it repeats any of this, as JSON may spell them."""
        texts = {each for text in [*self._anywhere, self._name] if text for each in (text, text.lower())}
        return sorted({form for text in texts for form in encode_text(text)})

    def erase(self, value: Any) -> Any:
        """A JSON value without the person."""
        if isinstance(value, str):
            return self._erase_text(value)
        if isinstance(value, list):
            return [self.erase(each) for each in value]
        if isinstance(value, dict):
            return {key: each if key in _WIRE_KEYS else self.erase(each) for key, each in value.items()}
        return value

    def erase_copy(self, data: bytes) -> bytes:
        """An idempotency answer, or the result of a job item, without the person."""
        values = msgspec.json.decode(data)
        erased = self.erase(values)
        return without_reasons(data if erased == values else encode(erased))

    def _erase_text(self, text: str) -> str:
        if self._name and text.strip() == self._name:
            return ERASED_TEXT
        return self._pattern.sub(ERASED_TEXT, text) if self._pattern else text


def encode_text(text: str) -> set[bytes]:
    """The text as JSON may spell it: as it is, and with escapes for all that is not ASCII."""
    return {text.encode("utf-8", "surrogatepass"), encode(text)[1:-1], _ascii_json(text)}


def _ascii_json(text: str) -> bytes:
    return b"".join(
        encode(char)[1:-1] if char.isascii() else b"".join(b"\\u%04x" % unit for unit in _utf16(char)) for char in text
    )


def _utf16(char: str) -> list[int]:
    data = char.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
