"""The renewal of a refresh token that is used up by it, in a process of its own.

The token endpoint ends the old refresh token and names the new one in the same answer, which nobody can request again.
So the process that sends the request must live until the new pair is in the file: neither `kill -9` of the export nor
^C reaches it. It holds the lock of the token file, so the next export waits for it.
"""

import contextlib
import os
import subprocess
import sys
from typing import Any

import msgspec

from ticketfeed.client.auth import TokenFile
from ticketfeed.client.oauth import parse_token_answer, parse_token_file
from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.client.transport import HttpTransport
from ticketfeed.protocol.errors import SourceError

__all__ = ["renew"]


class _Job(msgspec.Struct):
    source: str
    request: Request
    file: str


class _Outcome(msgspec.Struct):
    """One of the three. `problem`: why nothing was sent, or why the answer could not be kept."""

    answer: Answer | None = None
    failed: Failed | None = None
    problem: str | None = None


def renew(request: Request, tokens: TokenFile) -> Answer | Failed:
    """Send a request of the grant `refresh_token`; the new pair is in the file, which must be locked, on return.

    Raises SourceError.
    """
    job = msgspec.json.encode(_Job(tokens.source, request, tokens.name))
    outcome = msgspec.json.decode(_in_another_process(job, tokens.lock), type=_Outcome)
    if outcome.problem is not None:
        raise SourceError(outcome.problem)
    found = outcome.answer or outcome.failed
    assert found
    return found


def _in_another_process(job: bytes, lock: int) -> bytes:
    # With this process's own places of modules, and none besides: the current folder may be anybody's.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        pass_fds=[lock],
        start_new_session=True,
    )
    with process:
        out, _ = process.communicate(job)
    if not out:
        raise SourceError(f"the process that renews the token has ended without a result (code {process.returncode})")
    return out


def _carry_out(job: _Job) -> _Outcome:
    tokens = TokenFile(job.file, job.source)
    transport = HttpTransport(job.source)
    try:
        before = parse_token_file(tokens.content(), job.file)
        tokens.prepare()
        found = transport.send(job.request)
        if isinstance(found, Failed):
            return _Outcome(failed=found)
        if 200 <= found.status < 300:
            tokens.replace(parse_token_answer(found, before).encode())
        return _Outcome(answer=found)
    except SourceError as error:
        return _Outcome(problem=str(error))
    finally:
        tokens.discard()
        transport.close()


def _main() -> None:
    try:
        job: Any = msgspec.json.decode(sys.stdin.buffer.read(), type=_Job)
    except msgspec.DecodeError:  # the export was killed before it had said what to do
        return
    outcome = msgspec.json.encode(_carry_out(job))
    with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
        os.write(1, outcome)


if __name__ == "__main__":
    _main()
