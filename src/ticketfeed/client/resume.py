"""`--resume-from`: the state of another tool -> states of streams.

A time is taken as the start_time to begin at, inclusive: what carries that second may come again, nothing is missed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ticketfeed.client.streams import STREAMS
from ticketfeed.client.times import parse_seconds
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.errors import BadInput, InvalidCursor

__all__ = ["read_resume_point"]

SIZE_MAX = 64 * 2**20
# What the tools call the time in a stream's state, the most exact first.
_TIME_KEYS = ("generated_timestamp", "start_time", "end_time", "updated_at", "timestamp", "time")
_CURSOR_KEYS = ("cursor", "after_cursor")
# Around a state: messages of Airbyte and Singer, Meltano's own state, a manifest of ours.
_ENVELOPES = ("state", "value", "global", "completed", "singer_state", "checkpoint")


def read_resume_point(text: str, streams: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The states of those of `streams` that `text`, a cursor or the name of a file, knows. Raises BadInput."""
    if _is_cursor(text):
        return _for_cursor(text, streams)
    file = Path(text)
    try:
        if file.stat().st_size > SIZE_MAX:
            raise BadInput(f"{text} is too large for a state")
        content = file.read_bytes().strip()
    except OSError as error:
        raise BadInput(f"--resume-from {text!r} is no cursor, and no file that can be read: {error.strerror}") from None
    bare = content.decode("ascii", "replace")
    if _is_cursor(bare):
        return _for_cursor(bare, streams)
    states: dict[str, dict[str, Any]] = {}
    for document in _documents(content, text):
        for name, state in _streams(document):
            if name in STREAMS and (found := _state(name, state)):
                states[name] = found
    chosen = {name: states[name] for name in streams if name in states}
    if not chosen:
        known = f"it has: {', '.join(states)}" if states else "it is no state of Airbyte, Singer or dlt, and no cursor"
        raise BadInput(f"{text} has no state of {', '.join(streams)}; {known}")
    return chosen


def _is_cursor(text: str) -> bool:
    try:
        decode_cursor(text)
    except (InvalidCursor, ValueError):
        return False
    return True


def _for_cursor(cursor: str, streams: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    by_cursor = [name for name in streams if STREAMS[name].way == "cursor"]
    if len(by_cursor) != 1:
        raise BadInput("a cursor belongs to one stream: give --stream tickets or --stream users alone with it")
    return {by_cursor[0]: {"cursor": cursor}}


def _documents(content: bytes, name: str) -> Iterator[Any]:
    """One JSON document, or one a line as taps print their messages, where the last of a stream counts."""
    try:
        yield msgspec.json.decode(content)
        return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        yield from [msgspec.json.decode(line) for line in content.splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadInput(f"{name} is neither a cursor nor JSON") from None


def _streams(document: Any) -> Iterator[tuple[str, Any]]:
    """(stream, state), wherever a tool puts them; a later one counts more."""
    if isinstance(document, list):
        for each in document:
            yield from _streams(each if isinstance(each, dict) else None)
        return
    document = _object(document)
    if not document:
        return
    yield from ((name, state) for name, state in document.items() if name in STREAMS)  # Airbyte, older
    for key in _ENVELOPES:
        yield from _streams(_object(document.get(key)))
    for described in (document, _object(document.get("stream"))):  # Airbyte: in a global state, and a stream's own
        yield str(_object(described.get("stream_descriptor")).get("name")), described.get("stream_state")
    yield from _streams(document.get("stream_states"))
    for source in _object(document.get("sources")).values():  # dlt
        yield from _streams(_object(source))
    for key in ("bookmarks", "streams", "resources"):  # Singer, ticketfeed, dlt
        yield from _object(document.get(key)).items()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _state(name: str, state: Any) -> dict[str, Any] | None:
    if not isinstance(state, dict):
        return None
    incremental = state.get("incremental")
    if isinstance(incremental, dict):  # dlt: {"incremental": {"updated_at": {"last_value": ...}}}
        state = {key: value.get("last_value") for key, value in incremental.items() if isinstance(value, Mapping)}
    if "replication_key_value" in state:  # Singer SDK
        state = {str(state.get("replication_key", "time")): state["replication_key_value"]}
        state = {key if key in _TIME_KEYS else "time": value for key, value in state.items()}
    if isinstance(state.get("state"), dict):  # Airbyte's low-code sources
        state = state["state"]
    if STREAMS[name].way == "cursor":
        for key in _CURSOR_KEYS:
            if isinstance(state.get(key), str) and _is_cursor(state[key]):
                return {"cursor": state[key]}
    for key in _TIME_KEYS:
        seconds = parse_seconds(state.get(key))
        if seconds is not None and STREAMS[name].way != "list":
            return {"start_time": seconds}
    return None
