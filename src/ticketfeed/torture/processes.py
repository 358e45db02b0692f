"""A command as a process with all its children: what it prints, bounded, and its end."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["MARK", "CapturedOutput", "CommandProcess", "new_mark"]

# The variable by which the children of a command are found that have left its process group.
MARK = "TICKETFEED_TORTURE_RUN"
HEAD_BYTES = 16 * 1024
TAIL_BYTES = 48 * 1024
CHUNK_BYTES = 64 * 1024
# A killed process is gone within milliseconds, unless the system is busy with it.
END_SECONDS_MAX = 2.0
_POLL_SECONDS = 0.02


def new_mark() -> str:
    """The value of MARK for one run."""
    return uuid.uuid4().hex


class CapturedOutput:
    """The first and the last part of what a command prints on its two streams; the rest is counted."""

    def __init__(self) -> None:
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if len(self._tail) > 2 * TAIL_BYTES:
            self._drop()

    def _drop(self) -> None:
        surplus = max(0, len(self._tail) - TAIL_BYTES)
        self._dropped += surplus
        del self._tail[:surplus]

    def text(self) -> str:
        """What was printed, with the size of what is left out in its place."""
        self._drop()
        middle = f"\n... {self._dropped:,} bytes left out ...\n".encode() if self._dropped else b""
        return (self._head + middle + self._tail).decode("utf-8", "replace")


class CommandProcess:
    """A command that runs. `exited` is done when it has ended by itself or was ended."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str, reading: asyncio.Task[None]) -> None:
        self._process, self._mark, self._reading = process, mark, reading
        self.exited = asyncio.create_task(process.wait())

    @classmethod
    async def start(
        cls, start: Callable[..., Awaitable[asyncio.subprocess.Process]], mark: str, captured: CapturedOutput
    ) -> "CommandProcess":
        """`start` is called with the options for streams and session. It reads nothing, and has no terminal."""
        reader, writer = os.pipe()
        try:
            streams: dict[str, Any] = {"stdin": asyncio.subprocess.DEVNULL, "stdout": writer, "stderr": writer}
            process = await start(**streams, start_new_session=True)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return cls(process, mark, asyncio.create_task(_read(reader, captured)))

    @property
    def exit_code(self) -> int | None:
        """As a shell has it: 128 and the number for a signal; None while it runs."""
        code = self._process.returncode
        return None if code is None else code if code >= 0 else 128 - code

    async def end(self) -> None:
        """End it with all its children, whether or not it has ended itself, and read the rest of what it printed."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        deadline = asyncio.get_running_loop().time() + END_SECONDS_MAX
        while (left := list(_marked_processes(self._mark))) and asyncio.get_running_loop().time() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_SECONDS)
        await self.exited
        await asyncio.wait([self._reading], timeout=END_SECONDS_MAX)
        self._reading.cancel()


async def _read(descriptor: int, captured: CapturedOutput) -> None:
    reader = asyncio.StreamReader()
    loop, pipe = asyncio.get_running_loop(), os.fdopen(descriptor, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while data := await reader.read(CHUNK_BYTES):
            captured.add(data)
    finally:
        transport.close()


def _marked_processes(mark: str) -> Iterator[int]:
    """Processes with this mark in their environment, which children inherit. None where there is no /proc."""
    sign = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sign in (folder / "environ").read_bytes():
                yield int(folder.name)
