"""Logs are JSON lines on standard error; standard output is for results of commands.

The package logs through the standard library, so that a program that embeds it controls its own logs.
"""

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["REQUEST_ID", "configure_logs"]

REPETITION_SECONDS = 10.0
# The pool, or the address of the connection, that a line names.
_OBJECT = re.compile(r"'pool-\d+'| at 0x[0-9a-f]+")
# ID of the current request, added to every line that is logged while it is answered.
REQUEST_ID: ContextVar[str] = ContextVar("request_id")


def configure_logs(level: int = logging.INFO) -> None:
    """Send all log records to standard error, one JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # No line has them, and looking them up takes a third of the time that it takes to make a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").filters[:] = [_RepetitionFilter()]


class _RepetitionFilter(logging.Filter):
    """Drops what was logged a moment ago: while a database is away, each connection of each pool says so, again and
    again."""

    def __init__(self) -> None:
        super().__init__()
        self._until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = _OBJECT.sub("", record.getMessage())
        if self._until.get(text, 0.0) > record.created:
            return False
        self._until = {each: until for each, until in self._until.items() if until > record.created}
        self._until[text] = record.created + REPETITION_SECONDS
        return True


class _JsonFormatter(logging.Formatter):
    """Formats a record with the values of its attribute `line`, if it has one: the access log's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **getattr(record, "line", {}),
            "timestamp": datetime.fromtimestamp(record.created, UTC),
        }
        if "request_id" not in line and (request_id := REQUEST_ID.get("")):
            line["request_id"] = request_id
        if record.exc_info and record.exc_info[1]:
            line["exception"] = _describe(record.exc_info[1])
        try:
            # A quarter of the time of json.dumps, for every request.
            return msgspec.json.encode(line).decode()
        except UnicodeEncodeError:  # a surrogate, as in a file name that is not UTF-8
            return json.dumps(line, default=str)


def _describe(error: BaseException) -> list[dict[str, Any]]:
    """The exception and its causes, without the values of variables, which may be credentials."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return [
        {
            "exc_type": type(each).__name__,
            "exc_value": str(each),
            "frames": [
                {"filename": frame.filename, "lineno": frame.lineno, "name": frame.name}
                for frame in traceback.extract_tb(each.__traceback__)
            ],
        }
        for each in causes
    ]
