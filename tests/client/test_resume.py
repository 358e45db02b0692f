"""`--resume-from`: states as other tools write them, told by their content."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.client.playbook import cursor
from ticketfeed.client.resume import read_resume_point
from ticketfeed.client.times import parse_seconds
from ticketfeed.protocol.errors import BadInput

SECOND = 1_700_000_000
ISO = "2023-11-14T22:13:20Z"
CURSOR = cursor(SECOND, 7)
AT = {"tickets": {"start_time": SECOND}}

AIRBYTE = {
    "type": "STREAM",
    "stream": {
        "stream_descriptor": {"name": "tickets", "namespace": None},
        "stream_state": {"generated_timestamp": str(SECOND)},
    },
}
STATES: dict[str, tuple[Any, dict[str, Any]]] = {
    "airbyte": ([AIRBYTE], AT),
    "airbyte message": ({"type": "STATE", "state": AIRBYTE}, AT),
    "airbyte global": (
        {"type": "GLOBAL", "global": {"shared_state": {}, "stream_states": [AIRBYTE["stream"]]}},
        AT,
    ),
    "airbyte legacy": ({"tickets": {"generated_timestamp": SECOND}, "users": {"updated_at": ISO}}, AT),
    "airbyte low-code": ({"tickets": {"use_global_cursor": False, "state": {"generated_timestamp": SECOND}}}, AT),
    "singer": ({"bookmarks": {"tickets": {"generated_timestamp": "2023-11-14T22:13:20.000000Z"}}}, AT),
    "singer message": ({"type": "STATE", "value": {"bookmarks": {"tickets": {"generated_timestamp": ISO}}}}, AT),
    "singer sdk": (
        {"bookmarks": {"tickets": {"replication_key": "generated_timestamp", "replication_key_value": ISO}}},
        AT,
    ),
    "meltano": ({"completed": {"singer_state": {"bookmarks": {"tickets": {"generated_timestamp": SECOND}}}}}, AT),
    "dlt": (
        {
            "sources": {
                "zendesk_support": {
                    "resources": {"tickets": {"incremental": {"updated_at": {"initial_value": 0, "last_value": ISO}}}}
                }
            }
        },
        AT,
    ),
    "cursor in json": ({"tickets": {"cursor": CURSOR}}, {"tickets": {"cursor": CURSOR}}),
    "own manifest": ({"checkpoint": {"streams": {"tickets": {"cursor": CURSOR}}}}, {"tickets": {"cursor": CURSOR}}),
}


@pytest.mark.parametrize("name", STATES)
def test_states(tmp_path: Path, name: str) -> None:
    """Each tool's form gives the second, or the cursor, that it had come to."""
    state, wanted = STATES[name]
    file = tmp_path / "state.json"
    file.write_text(json.dumps(state))
    assert read_resume_point(str(file), ("tickets",)) == wanted


def test_lines_of_messages(tmp_path: Path) -> None:
    """Of messages line by line, as a tap prints them, the last state of a stream counts."""
    file = tmp_path / "out.jsonl"
    messages = [
        {"type": "RECORD", "stream": "tickets", "record": {"id": 1}},
        {"type": "STATE", "value": {"bookmarks": {"tickets": {"generated_timestamp": 5}}}},
        {"type": "STATE", "value": {"bookmarks": {"tickets": {"generated_timestamp": SECOND}}}},
    ]
    file.write_text("\n".join(map(json.dumps, messages)) + "\n")
    assert read_resume_point(str(file), ("tickets", "users")) == AT


def test_cursors(tmp_path: Path) -> None:
    """A cursor may stand for the file, or in it; it belongs to the one stream that has cursors."""
    assert read_resume_point(CURSOR, ("tickets",)) == {"tickets": {"cursor": CURSOR}}
    assert read_resume_point(CURSOR, ("users", "groups")) == {"users": {"cursor": CURSOR}}
    (tmp_path / "cursor").write_text(f"{CURSOR}\n")
    assert read_resume_point(str(tmp_path / "cursor"), ("tickets",)) == {"tickets": {"cursor": CURSOR}}
    with pytest.raises(BadInput, match="one stream"):
        read_resume_point(CURSOR, ("tickets", "users"))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "neither a cursor nor JSON|has no state"),
        (b"hello", "neither a cursor nor JSON"),
        (b"\xff\xfe", "neither a cursor nor JSON"),
        (b"[" * 100_000, "neither a cursor nor JSON"),
        (b"{}", "no state of Airbyte, Singer or dlt"),
        (b'{"bookmarks":{"users":{"updated_at":5}}}', "it has: users"),
        (b'{"bookmarks":{"tickets":{"generated_timestamp":"soon"}}}', "has no state of tickets"),
        (b'{"bookmarks":{"tickets":{"generated_timestamp":1700000000000}}}', "has no state of tickets"),
        (b'{"bookmarks":{"tickets":{"generated_timestamp":true}}}', "has no state of tickets"),
        (b'{"bookmarks":[1],"sources":5,"stream":[],"stream_descriptor":3}', "has no state of tickets"),
    ],
)
def test_what_is_no_state(tmp_path: Path, content: bytes, word: str) -> None:
    """It is refused in one line."""
    file = tmp_path / "state.json"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=word):
        read_resume_point(str(file), ("tickets",))
    with pytest.raises(BadInput, match="no cursor, and no file"):
        read_resume_point(str(tmp_path / "gone"), ("tickets",))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (SECOND, SECOND),
        (str(SECOND), SECOND),
        (SECOND + 0.9, SECOND),
        ("1700000000.0", SECOND),
        (ISO, SECOND),
        ("2023-11-14T23:13:20+01:00", SECOND),
        ("2023-11-14 22:13:20", SECOND),
        ("2023-11-14", 1_699_920_000),
        ("0", 0),
        ("-1", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e300", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_times(value: Any, seconds: int | None) -> None:
    """ISO 8601 and Unix seconds, rounded down; a time without a zone is UTC."""
    assert parse_seconds(value) == seconds
