"""A write that waits for its turn, and the future of its caller."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PendingWrite"]


@dataclass(slots=True, eq=False)
class PendingWrite:
    """`deadline`: the monotonic time until which it waits. `result` or `error`: what has become of it."""

    future: "asyncio.Future[Any]"
    deadline: float
    result: Any = field(default=None, kw_only=True)
    error: BaseException | None = field(default=None, kw_only=True)

    def settle(self) -> None:
        """Resolve the future, in the thread of its loop. A caller that was cancelled has resolved it already."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)
