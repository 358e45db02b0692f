"""One contract for every target that keeps what it is given: rows and checkpoint together, whole, resumable, ours."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.targets import APPENDING, KEYED, TARGETS, Target, latest
from tests.client.test_columns import alike, values
from tests.client.traps import TRAPS, plain_ticket, ticket
from ticketfeed.client.sinks import Batch, Checkpoint, SinkOptions, open_sink
from ticketfeed.client.sinks.columns import table_of
from ticketfeed.protocol.errors import BadInput, TargetError

IDENTITY = {"source": "https://acme.zendesk.com", "account": "acme", "streams": ["tickets"], "filters": {"since": 0}}
TICKETS = ("tickets",)

each = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
each_keyed = pytest.mark.parametrize("target", KEYED, ids=lambda target: target.name)
each_appending = pytest.mark.parametrize("target", APPENDING, ids=lambda target: target.name)


def point(number: int, identity: dict[str, Any] = IDENTITY) -> Checkpoint:
    return Checkpoint(identity, {"tickets": {"cursor": f"c{number}"}}, {"tickets": {"count": number}})


def export(path: str, pages: Iterable[Sequence[bytes]], options: SinkOptions, *, finish: bool = True) -> None:
    """A run of some pages."""
    with open_sink(path, TICKETS, options) as sink:
        sink.open(IDENTITY)
        number = 0
        for number, records in enumerate(pages, 1):
            sink.write([Batch("tickets", records)], point(number))
        if finish:
            sink.finish(point(number))


def checkpoint_of(path: str, options: SinkOptions) -> Checkpoint | None:
    with open_sink(path, TICKETS, options) as sink:
        return sink.open(IDENTITY)


def expected(target: Target, records: Iterable[bytes]) -> list[Any]:
    values = [json.loads(record) for record in records]
    return latest(values) if target.keyed else values


def same(found: Sequence[Any], wanted: Sequence[Any], *, ordered: bool) -> bool:
    def by_id(record: Any) -> float:
        return float(record["id"])

    if not ordered:
        found, wanted = sorted(found, key=by_id), sorted(wanted, key=by_id)
    return len(found) == len(wanted) and all(map(alike, found, wanted))


@each
def test_a_run_is_continued_at_its_checkpoint(tmp_path: Path, target: Target) -> None:
    """A new target has no checkpoint; then it has that of the last write, also without an end, and all rows."""
    path = target.path(tmp_path)
    pages = [[plain_ticket(id) for id in range(page * 10, page * 10 + 10)] for page in range(4)]
    with open_sink(path, TICKETS, target.options) as sink:
        assert sink.open(IDENTITY) is None
        sink.write([Batch("tickets", pages[0])], point(1))
        sink.write([Batch("tickets", pages[1])], point(2))
    with open_sink(path, TICKETS, target.options) as sink:
        assert sink.open(IDENTITY) == point(2)
        sink.write([Batch("tickets", pages[2])], point(3))
        sink.finish(point(4))
    with open_sink(path, TICKETS, target.options) as sink:
        assert sink.open(IDENTITY) == point(4)
        sink.write([Batch("tickets", pages[3])], point(5))
        sink.finish(point(5))
    assert checkpoint_of(path, target.options) == point(5)
    records = [record for page in pages for record in page]
    assert same(target.read(Path(path), "tickets"), expected(target, records), ordered=not target.keyed)


@each
@pytest.mark.parametrize("trap", TRAPS)
def test_traps_come_through(tmp_path: Path, target: Target, trap: str) -> None:
    """Each trap is in the target, value for value: latest states in a keyed one, every state in the others."""
    path = target.path(tmp_path)
    export(path, [[record] for record in TRAPS[trap]], target.options)
    assert same(target.read(Path(path), "tickets"), expected(target, TRAPS[trap]), ordered=not target.keyed)
    if target.keyed:
        export(f"{tmp_path}/columns{target.ending}", [TRAPS[trap]], SinkOptions(custom_fields="columns"))
        found = target.read(Path(f"{tmp_path}/columns{target.ending}"), "tickets")
        assert same(found, expected(target, TRAPS[trap]), ordered=False)


records = st.dictionaries(
    st.one_of(st.sampled_from(table_of("tickets").names), st.sampled_from(["_absent", "x"])), values, max_size=8
)


@each
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), records), min_size=1, max_size=5))
def test_any_record_comes_through(
    tmp_path_factory: pytest.TempPathFactory, target: Target, given: list[tuple[int, dict[str, Any]]]
) -> None:
    """Whatever else a record says, the target gives it back."""
    path = target.path(tmp_path_factory.mktemp("any"))
    made = [json.dumps({**record, "id": id}).encode() for id, record in given]
    export(path, [made[:2], made[2:]], target.options)
    assert same(target.read(Path(path), "tickets"), expected(target, made), ordered=not target.keyed)


@each
def test_ten_thousand_in_one_second(tmp_path: Path, target: Target) -> None:
    """10,000 tickets of one second, in pages of 1000, are each there once."""
    path = target.path(tmp_path)
    pages = [
        [plain_ticket(id, generated_timestamp=1_780_000_000) for id in range(first, first + 1000)]
        for first in range(1, 10_001, 1000)
    ]
    export(path, pages, target.options)
    found = target.read(Path(path), "tickets")
    assert sorted(record["id"] for record in found) == list(range(1, 10_001))
    with open_sink(path, TICKETS, target.options) as sink:
        sink.open(IDENTITY)
        assert sorted(sink.positions("tickets")) == [(id, 1_780_000_000) for id in range(1, 10_001)]


@each
def test_positions_are_of_latest_states(tmp_path: Path, target: Target) -> None:
    """What is compared with the source is the latest state of each id, whatever the target holds beside it."""
    path = target.path(tmp_path)
    odd = b'{"id":3.0,"generated_timestamp":12,"subject":"\\ud800"}'
    pages = [[plain_ticket(1), plain_ticket(2)], [plain_ticket(1, generated_timestamp=9, subject='a\n"b"'), odd]]
    export(path, pages, target.options)
    with open_sink(path, TICKETS, target.options) as sink:
        sink.open(IDENTITY)
        assert sorted(sink.positions("tickets")) == [(1, 9), (2, 1_780_000_002), (3, 12)]


@each_keyed
def test_a_record_is_held_once(tmp_path: Path, target: Target) -> None:
    """Changes within a page, between pages and between runs leave the latest state, once."""
    path = target.path(tmp_path)
    first = [
        [plain_ticket(id, subject="one") for id in (1, 2, 3, 1)],
        [plain_ticket(id, subject="two") for id in (2, 4, 2)],
    ]
    export(path, first, target.options)
    export(path, [[plain_ticket(id, subject="three") for id in (4, 5, 4)]], target.options)
    export(path, [], target.options)
    found = sorted((record["id"], record["subject"]) for record in target.read(Path(path), "tickets"))
    assert found == [(1, "one"), (2, "two"), (3, "one"), (4, "three"), (5, "three")]


@each
def test_deleted_tickets_are_rows(tmp_path: Path, target: Target) -> None:
    """Deleted tickets are in the target like any other, unless they are excluded: then they leave a keyed target."""
    path = target.path(tmp_path)
    pages = [
        [plain_ticket(1), plain_ticket(2, status="deleted"), plain_ticket(3)],
        [plain_ticket(3, status="deleted"), plain_ticket(4, subject="deleted"), plain_ticket(5, status="deleted")],
    ]
    again = [[plain_ticket(5), plain_ticket(1, status="deleted")]]
    export(path, pages, target.options)
    export(path, again, target.options)
    states = [record["status"] for record in target.read(Path(path), "tickets")]
    assert states.count("deleted") == (3 if target.keyed else 4)

    without = target.path(tmp_path / "without")
    (tmp_path / "without").mkdir()
    options = SinkOptions(format=target.options.format, exclude_deleted=True)
    export(without, pages, options)
    found = sorted(record["id"] for record in target.read(Path(without), "tickets"))
    assert found == ([1, 4] if target.keyed else [1, 3, 4])
    export(without, again, options)
    found = sorted(record["id"] for record in target.read(Path(without), "tickets"))
    assert found == ([4, 5] if target.keyed else [1, 3, 4, 5])


@each_appending
def test_compact_leaves_the_last_line_of_each_id(tmp_path: Path, target: Target) -> None:
    """A compact target holds the last state of each id once, at the end of each run; deleted ones on demand."""
    path = target.path(tmp_path)
    options = SinkOptions(format=target.options.format, compact=True)
    odd = 'a\n"b",\r\n'
    export(path, [[plain_ticket(1), plain_ticket(2, subject=odd)], [plain_ticket(1, subject=odd)]], options)
    assert [(r["id"], r["subject"]) for r in target.read(Path(path), "tickets")] == [(2, odd), (1, odd)]
    export(path, [[plain_ticket(2, status="deleted"), plain_ticket(3)]], options)
    assert [record["id"] for record in target.read(Path(path), "tickets")] == [1, 2, 3]
    assert checkpoint_of(path, options) == point(1)
    assert [file.name for file in tmp_path.rglob("*.part")] == []

    without = target.path(tmp_path / "without")
    (tmp_path / "without").mkdir()
    options = SinkOptions(format=target.options.format, compact=True, exclude_deleted=True)
    export(without, [[plain_ticket(1), plain_ticket(2)], [plain_ticket(2, status="deleted")]], options)
    assert [record["id"] for record in target.read(Path(without), "tickets")] == [1]


@each_keyed
def test_custom_fields_become_columns(tmp_path: Path, target: Target) -> None:
    """A column for each field, of the type of its first value; another type goes to a second one, nothing is lost."""
    assert target.cells
    path = target.path(tmp_path)
    options = SinkOptions(custom_fields="columns")
    changes: list[list[tuple[int, Any]]] = [
        [(11, "a"), (12, None), (13, True), (14, ["x", "y"]), (15, 7), (16, 0.5)],
        [(11, 5), (12, "later"), (13, "yes"), (14, "z"), (15, 2**70), (16, 1)],
        [(11, None), (17, {"a": 1})],
    ]
    made = [
        plain_ticket(id, custom_fields=[{"id": field, "value": value} for field, value in fields])
        for id, fields in enumerate(changes, 1)
    ]
    export(path, [made[:1], made[1:2]], options)
    export(path, [made[2:]], options)
    cells = {
        name: target.cells(Path(path), "tickets", name)
        for name in (
            *("cf_11", "cf_11__text", "cf_12", "cf_13", "cf_13__text", "cf_14", "cf_14__text", "cf_15", "cf_15__text"),
            *("cf_16", "cf_16__text", "cf_17"),
        )
    }
    lists = '["x","y"]' if target.name == "sqlite" else ["x", "y"]
    assert cells == {
        "cf_11": ["a", None, None],
        "cf_11__text": [None, "5", None],
        "cf_12": [None, "later", None],
        "cf_13": [True, None, None],
        "cf_13__text": [None, '"yes"', None],
        "cf_14": [lists, None, None],
        "cf_14__text": [None, '"z"', None],
        "cf_15": [7, None, None],
        "cf_15__text": [None, str(2**70), None],
        "cf_16": [0.5, None, None],
        "cf_16__text": [None, "1", None],
        "cf_17": [None, None, '{"a":1}'],
    }
    assert same(target.read(Path(path), "tickets"), [json.loads(record) for record in made], ordered=False)


@pytest.mark.parametrize("target", [target for target in TARGETS if target.several], ids=lambda target: target.name)
def test_several_streams(tmp_path: Path, target: Target) -> None:
    """Each stream has a table or folder of its own, with one checkpoint for all."""
    path, streams = target.path(tmp_path), ("tickets", "users", "tags")
    users = [b'{"id":1,"name":"A","active":true}', b'{"id":1,"name":"B","active":false}']
    tags = [b'{"name":"vip","count":3}', b'{"name":"new","count":1}']
    with open_sink(path, streams, target.options) as sink:
        sink.open(IDENTITY)
        sink.write([Batch("tickets", [plain_ticket(1)]), Batch("users", users), Batch("tags", tags)], point(1))
        sink.finish(point(2))
    assert target.read(Path(path), "tickets") == [ticket(1)]
    found = target.read(Path(path), "users")
    assert found == [json.loads(user) for user in (users[1:] if target.keyed else users)]
    assert sorted(record["name"] for record in target.read(Path(path), "tags")) == ["new", "vip"]
    with open_sink(path, streams, target.options) as sink:
        assert sink.open(IDENTITY) == point(2)


@each
def test_an_empty_run_leaves_a_readable_target(tmp_path: Path, target: Target) -> None:
    """A run without a record ends with an empty target that its readers can open."""
    path = target.path(tmp_path)
    export(path, [], target.options)
    if target.name == "folder":
        assert list(Path(path, "tickets").iterdir()) == []
    else:
        assert target.read(Path(path), "tickets") == []
    assert checkpoint_of(path, target.options) == point(0)


@each
def test_a_target_of_another_run_is_refused(tmp_path: Path, target: Target) -> None:
    """Another source, account or filter, or another way to store, is refused in one line that names it."""
    path = target.path(tmp_path)
    export(path, [[plain_ticket(1)]], target.options)
    before = target.read(Path(path), "tickets")
    for name, value in (("source", "https://b.example"), ("account", "other"), ("filters", {"since": 5})):
        with open_sink(path, TICKETS, target.options) as sink, pytest.raises(BadInput) as refused:
            sink.open({**IDENTITY, name: value})
        assert f"belongs to another run: its {name} is" in str(refused.value)
        assert "\n" not in str(refused.value)
    options = SinkOptions(format=target.options.format, exclude_deleted=True)
    with open_sink(path, TICKETS, options) as sink, pytest.raises(BadInput, match="exclude_deleted"):
        sink.open(IDENTITY)
    assert target.read(Path(path), "tickets") == before
    assert checkpoint_of(path, target.options) == point(1)


@each
def test_what_is_not_ours_is_refused(tmp_path: Path, target: Target) -> None:
    """A file, folder or database of something else is refused, and left as it is."""
    path = Path(target.path(tmp_path))
    if target.ending == "/":
        path.mkdir()
        foreign = path / "notes.txt"
    else:
        foreign = path
    foreign.write_bytes(b"something else\n" * 100)
    with open_sink(target.path(tmp_path), TICKETS, target.options) as sink, pytest.raises(BadInput) as refused:
        sink.open(IDENTITY)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    assert foreign.read_bytes() == b"something else\n" * 100
    assert sorted(tmp_path.rglob("*")) == sorted({path, foreign})


_ANOTHER_RUN = """
import sys
from tests.client.test_sinks import IDENTITY
from ticketfeed.client.sinks import SinkOptions, open_sink
from ticketfeed.protocol.errors import TargetError
try:
    with open_sink(sys.argv[1], ["tickets"], SinkOptions(format=sys.argv[2])) as sink:
        sink.open(IDENTITY)
except TargetError as error:
    print(error)
"""


@each
def test_two_runs_at_once_are_refused(tmp_path: Path, target: Target) -> None:
    """While one run writes, another one ends with one line, and neither harms the target."""
    path = target.path(tmp_path)
    with open_sink(path, TICKETS, target.options) as sink:
        sink.open(IDENTITY)
        sink.write([Batch("tickets", [plain_ticket(1)])], point(1))
        other = subprocess.run(
            [sys.executable, "-c", _ANOTHER_RUN, path, target.options.format],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "in use by another" in other.stdout, other
        assert other.stdout.count("\n") == 1
        sink.write([Batch("tickets", [plain_ticket(2)])], point(2))
        sink.finish(point(2))
    assert [record["id"] for record in target.read(Path(path), "tickets")] == [1, 2]


@each
def test_a_missing_folder_is_told(tmp_path: Path, target: Target) -> None:
    """A target in a folder that is not there ends with one line."""
    path = target.path(tmp_path / "nowhere")
    with open_sink(path, TICKETS, target.options) as sink, pytest.raises(TargetError) as refused:
        sink.open(IDENTITY)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
