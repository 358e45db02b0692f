"""Outputs of connectors as text: JSON lines in several layouts, and CSV."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from ticketfeed.protocol.output_check import Output, parse_output_ticket

__all__ = ["is_of_tickets", "read_csv", "read_json"]

_MESSAGES = {"RECORD", "SCHEMA", "STATE", "ACTIVATE_VERSION", "LOG", "TRACE", "SPEC", "CATALOG", "CONTROL", "BATCH"}
_MESSAGES |= {"CONNECTION_STATUS"}
# A cell of CSV may be a whole comment; the csv module takes none above 128 KB by default.
_CELL_CHARS_MAX = 1 << 30
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(r"(?<=\r)(?!\n|$)")


def is_of_tickets(stream: str) -> bool:
    """Whether a stream or table is that of the tickets, by its last name: `zendesk.tickets`, `raw_tickets`."""
    parts = stream.lower().replace(".", "_").replace("-", "_").split("_")
    return parts[-1] == "tickets" and "deleted" not in parts


def read_json(name: str, first: bytes, lines: Iterable[bytes], output: Output) -> None:
    """Lines of JSON, or one document over several lines."""
    for number, line in enumerate(chain([first.removeprefix(_BYTE_ORDER_MARK)], lines), 1):
        if not line.strip():
            continue
        place = f"line {number} of {name}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if number == 1 and (document := _document(line, lines)) is not None:
                _add(name, document, output)
                return
            output.add_torn(f"{place}: no JSON")
            continue
        _add(place, value, output)


def _document(first: bytes, lines: Iterable[bytes]) -> Any:
    """A JSON document of which this is only the first line; None if it is none, or not whole."""
    if first.strip() not in (b"{", b"[") and not first.lstrip().startswith(b"["):
        return None
    try:
        return json.loads(first + b"".join(lines))
    except (ValueError, RecursionError):
        return None


def _add(place: str, value: Any, output: Output) -> None:
    """Add the tickets of a record, message, page or list."""
    if isinstance(value, list):
        for each in value:
            _add(place, each, output)
    elif not isinstance(value, dict):
        output.add_torn(f"{place}: no object")
    elif value.get("type") in _MESSAGES:
        _add_message(place, value, output)
    elif isinstance(value.get("tickets"), list):
        _add(place, value["tickets"], output)
    else:
        data = value.get("_airbyte_data", value)
        _add_record(place, _parsed(data), output)


def _add_message(place: str, message: Mapping[str, Any], output: Output) -> None:
    """Of Singer the record is beside its stream, of Airbyte both are below `record`."""
    record = message.get("record")
    if message["type"] != "RECORD":
        return
    if isinstance(record, dict) and isinstance(record.get("data"), dict) and "stream" in record:
        stream, record = record["stream"], record["data"]
    else:
        stream = message.get("stream")
    if isinstance(stream, str) and is_of_tickets(stream):
        _add_record(place, record, output)


def _add_record(place: str, record: Any, output: Output) -> None:
    if isinstance(record, dict):
        output.add(place, *parse_output_ticket(record))
    else:
        output.add_torn(f"{place}: no object")


def _parsed(data: Any) -> Any:
    """A record that is text in a column of another."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def read_csv(name: str, first: bytes, lines: Iterable[bytes], output: Output) -> bool:
    """CSV, whose first line names the columns; False if there is no column `id`."""
    csv.field_size_limit(_CELL_CHARS_MAX)
    texts = _texts(chain([first.removeprefix(_BYTE_ORDER_MARK)], lines))
    head = next(texts)
    header = next(csv.reader([head]))
    delimiter = next((each for each in ";\t" if len(header) == 1 and each in header[0]), ",")
    names = [each.strip() for each in next(csv.reader([head], delimiter=delimiter))]
    if "id" not in names:
        return False
    for number, row in enumerate(csv.reader(texts, delimiter=delimiter), 2):
        if not row:
            continue
        if len(row) != len(names):
            output.add_torn(f"record {number} of {name}: {len(row)} cells in place of {len(names)}")
        else:
            cells = {key: cell or None for key, cell in zip(names, row, strict=True)}
            _add_record(f"record {number} of {name}", cells, output)
    return True


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as the csv module needs them: a carriage return ends one, too."""
    for line in lines:
        yield from _LINE_END.split(line.decode("utf-8", "replace").replace("\x00", ""))
