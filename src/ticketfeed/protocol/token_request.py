"""A request to the token endpoint -> typed values: from a JSON body, a form, or the query string.

Keys that have no meaning are ignored: a client library sends what it likes. What is known must be right.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from ticketfeed.protocol.errors import InvalidClient, InvalidRequest, UnsupportedGrantType
from ticketfeed.protocol.oauth import Lifetimes

__all__ = ["ACCESS_SECONDS_MAX", "ACCESS_SECONDS_MIN", "TokenRequest", "parse_token_request"]

# Grant type -> the parameter that it cannot do without, besides the client's.
_GRANTS = {"authorization_code": "code", "refresh_token": "refresh_token", "client_credentials": None}
ACCESS_SECONDS_MIN, ACCESS_SECONDS_MAX = 300, 172_800
_LIFETIMES = {"expires_in": (ACCESS_SECONDS_MIN, ACCESS_SECONDS_MAX), "refresh_token_expires_in": (604_800, 7_776_000)}
_TEXTS = ("grant_type", "client_id", "client_secret", "code", "redirect_uri", "code_verifier", "refresh_token")
_KNOWN = frozenset({*_TEXTS, *_LIFETIMES, "scope"})
_INTEGER = re.compile(r"[0-9]{1,18}")
FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client sent. `has_bad_scope`: the scope is an array, which is taken, and gives a token of no use."""

    grant_type: str
    client_id: str
    client_secret: str | None = None
    code: str | None = None
    redirect_uri: str | None = None
    code_verifier: str | None = None
    refresh_token: str | None = None
    scope: str | None = None
    has_bad_scope: bool = False
    lifetimes: Lifetimes = field(default_factory=Lifetimes)


def parse_token_request(body: bytes, content_type: str, query: bytes, authorization: str | None = None) -> TokenRequest:
    """`authorization`: the header, which may have the client's credentials. Raises InvalidRequest, InvalidClient,
    UnsupportedGrantType."""
    values = _merge(_parse_form(query), _parse_body(body, content_type))
    values |= _parse_basic(authorization, values)
    texts = {name: _text(name, values[name]) for name in _TEXTS if name in values}
    _need(texts, "grant_type", "client_id")
    grant_type = texts["grant_type"]
    if grant_type not in _GRANTS:
        raise UnsupportedGrantType
    if needed := _GRANTS[grant_type]:
        _need(texts, needed)
    scope = values.get("scope")
    is_array = type(scope) is list
    if is_array:
        scope = "".join(json.dumps(scope).split())  # one word, which is no scope
    return TokenRequest(
        **texts,
        scope=None if scope is None else _text("scope", scope),
        has_bad_scope=is_array,
        lifetimes=Lifetimes(*(_seconds(name, values.get(name)) for name in _LIFETIMES)),
    )


def _parse_body(body: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if kind == "application/json" or kind.endswith("+json"):
        return _parse_json(body)
    if kind in ("application/x-www-form-urlencoded", ""):
        return _parse_form(body)
    raise InvalidRequest("The body must be application/json or application/x-www-form-urlencoded.")


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(value, _Pairs):
        raise InvalidRequest("The body must be a JSON object.")
    return _once(value)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with repeated keys."""


def _parse_form(text: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequest(f"More than {FIELDS_MAX} parameters.") from None
    return _once(pairs)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The parameters that are present. Raises InvalidRequest for one that is repeated."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in _KNOWN or value is None or value == "":
            continue
        if name in values:
            raise InvalidRequest(f"'{name}' repeated.")
        values[name] = value
    return values


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of query string and body. One that stands in both must be the same."""
    for name in first.keys() & second.keys():
        if str(first[name]) != str(second[name]):
            raise InvalidRequest(f"'{name}' repeated.")
    return {**first, **second}


def _parse_basic(authorization: str | None, values: Mapping[str, Any]) -> dict[str, str]:
    """The client's credentials from an Authorization header. Raises InvalidClient for two kinds of them at once."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        name, separator, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClient from None
    found = {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)}
    if not separator or any(values.get(key, value) != value for key, value in found.items()):
        raise InvalidClient
    return {key: value for key, value in found.items() if value}


def _text(name: str, value: Any) -> str:
    """A parameter that is text, as it can be stored and looked up; a number is taken as its digits."""
    value = str(value) if type(value) is int else value
    is_text = isinstance(value, str) and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if not is_text:
        raise InvalidRequest(f"'{name}' invalid.")
    return str(value)


def _need(texts: Mapping[str, str], *names: str) -> None:
    if missing := [f"'{name}'" for name in names if not texts.get(name, "").strip()]:
        raise InvalidRequest(f"{', '.join(missing)} required.")


def _seconds(name: str, value: Any) -> int | None:
    """A lifetime within its bounds. Raises InvalidRequest."""
    if value is None:
        return None
    low, high = _LIFETIMES[name]
    is_number = type(value) is int or (isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is not None)
    if not is_number or not low <= int(value) <= high:
        raise InvalidRequest(f"'{name}' must be an integer from {low} to {high}.")
    return int(value)
