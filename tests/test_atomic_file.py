"""Files that are complete, or do not exist."""

import contextlib
import gc
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ticketfeed.atomic_file import atomic_file
from ticketfeed.protocol.errors import StoreError


def test_a_file_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """A file that appears under the name while its part is being filled stays, and the part goes."""
    with pytest.raises(StoreError, match="already exists"), atomic_file(tmp_path / "x", 0o600):
        (tmp_path / "x").write_bytes(b"theirs")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_interrupt_leaves_no_part(tmp_path: Path) -> None:
    """A signal may come at any instruction: the file is whole or not there, and nothing else is left."""
    for instruction in itertools.count(1):
        file = tmp_path / "x"
        was_interrupted = write_interrupted(file, instruction)
        gc.collect()
        left = [path.name for path in tmp_path.iterdir()]
        assert left in ([], ["x"]), instruction
        if left:
            assert file.read_bytes() == b"whole"
            file.unlink()
        if not was_interrupted:
            assert left == ["x"]
            break
    assert instruction > 50


def test_an_interrupt_leaves_the_part_of_another_process(tmp_path: Path) -> None:
    """At whichever instruction it comes."""
    (tmp_path / "x.part").touch()
    for instruction in range(1, 100):
        with contextlib.suppress(StoreError):
            write_interrupted(tmp_path / "x", instruction)
        assert [path.name for path in tmp_path.iterdir()] == ["x.part"], instruction


def write_interrupted(file: Path, instruction: int) -> bool:
    """Write a file, with ^C before an instruction of `atomic_file`; whether it came so far."""
    left = instruction

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        nonlocal left
        if frame.f_code.co_name != "atomic_file":
            return None
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left == 0:
            left = -1
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with atomic_file(file, 0o600) as part:
            part.write_bytes(b"whole")
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
