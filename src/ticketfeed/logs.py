"""Logs are JSON lines on standard error; standard output belongs to the command's own words.

The package logs through the standard library, so that a program which embeds it stays in charge of its logs.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["REQUEST_ID", "configure_logs"]

# Of the request that is being answered; every line about it carries it.
REQUEST_ID: ContextVar[str] = ContextVar("request_id")


def configure_logs(level: int = logging.INFO) -> None:
    """Send all records to standard error, one JSON object a line.

    Tracebacks come without the values of variables, among which are credentials.
    """
    import structlog  # takes a tenth of a second

    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _add_request_id,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ],
    )
    handler.setFormatter(_Lines(formatter))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _add_request_id(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (request_id := REQUEST_ID.get("")) and "request_id" not in line:
        line["request_id"] = request_id
    return line


class _Lines(logging.Formatter):
    """The line of a request, which is all values, is written at once: a tenth of the time, for every page served."""

    def __init__(self, others: logging.Formatter) -> None:
        super().__init__()
        self._others = others

    def format(self, record: logging.LogRecord) -> str:
        line = getattr(record, "line", None)
        if line is None:
            return self._others.format(record)
        told = {
            "event": record.msg,
            "level": "info",
            "logger": record.name,
            **line,
            "timestamp": datetime.fromtimestamp(record.created, UTC),
        }
        return msgspec.json.encode(told).decode()
