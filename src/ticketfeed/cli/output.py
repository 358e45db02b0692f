"""Output of several commands: messages on standard error, times, settings without secrets, problems of consumers."""

import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from ticketfeed.data.status import ConsumerStatus
from ticketfeed.protocol.model import FeedState
from ticketfeed.settings import SETTINGS

__all__ = ["consumer_problems", "count_noun", "discard", "masked", "print_err", "print_fenced", "utc_time", "write_err"]

_MASK = "***"
# The password of a URL, wherever a URL can hold it. A password with unescaped @ or / makes the end of it ambiguous;
# then rather too much is masked than too little.
_USER_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*@")
_QUERY_PASSWORD = re.compile(r"(?i)([?&](?:password|sslpassword)=)[^&]*")
# That of libpq's other form, which is refused: a value may be in quotes.
_WORD_PASSWORD = re.compile(r"(?i)((?:^|\s)(?:password|sslpassword)\s*=\s*)(?:'[^']*'|\S*)")


def print_err(text: str) -> None:
    """Print a line to standard error; standard output is for results.

    What another program has written, as the message of a source, cannot move a terminal's cursor.
    """
    write_err("".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text) + "\n")


def write_err(text: str) -> None:
    """Write to standard error at once, or at the next call if it cannot be written now, as on a full disk.

    Nobody can be told of that, and the command goes on: its exit code says how it ended.
    """
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def discard(stream: TextIO) -> None:
    """Send buffered output to the null device: the interpreter would report an error when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def utc_time(seconds: float) -> str:
    """Unix seconds as YYYY-MM-DDTHH:MM:SSZ."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def count_noun(number: int, noun: str) -> str:
    """A number with its noun: 1 ticket, 2 tickets."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_fenced(account: str, state: FeedState) -> None:
    """Print an account's watermark after a fence."""
    verb = "a mirror, walked to" if state.is_mirror else "fenced at"
    print(f"{account}\t{verb} {state.watermark}\t{utc_time(state.watermark)}")


def masked(name: str, value: Any) -> str:
    """The text of a setting's value, with *** for secrets and for passwords in URLs."""
    if value in (None, ()):
        return "-"
    if SETTINGS[name].is_secret:
        return _MASK
    if isinstance(value, list | tuple):
        return " ".join(masked(name, each) for each in value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = _USER_PASSWORD.sub(rf"\1:{_MASK}@", text)
    return _WORD_PASSWORD.sub(rf"\1{_MASK}", _QUERY_PASSWORD.sub(rf"\1{_MASK}", text))


def consumer_problems(status: ConsumerStatus) -> list[str]:
    """What is wrong with a consumer: loops, skipped tickets, repeated pages, errors."""
    consumer, problems = status.consumer, []
    if consumer.is_looping:
        problems.append(f"requests the same page in a loop ({consumer.same} times)")
    if status.missed:
        problems.append(f"skipped {count_noun(status.missed, 'ticket')} in {count_noun(len(status.gaps), 'range')}")
    if consumer.repeats:
        problems.append(f"repeated {count_noun(consumer.repeats, 'page')}")
    if consumer.errors:
        last = f"{consumer.last_error} at {utc_time(consumer.last_error_at)}"
        problems.append(f"{count_noun(consumer.errors, 'error')}, last {last}")
    return problems
