"""A background job: many changes asked for at once, done one by one, each with a result of its own.

A job is stored with what is left to do. The write that does an item stores the job with its result, too, so after a
kill each item was done and reported, or neither.
"""

from dataclasses import dataclass

__all__ = ["JOB_ITEMS_MAX", "Job"]

JOB_ITEMS_MAX = 100


@dataclass(frozen=True, slots=True)
class Job:
    """`items`: what was asked for, one JSON object each. `results`: of the first so many, one JSON object each.

    `actor_id`: the user who asked. `message`: of a job that failed as a whole.
    """

    id: str
    action: str
    actor_id: int
    created_at: int
    items: tuple[bytes, ...]
    results: tuple[bytes, ...] = ()
    finished_at: int | None = None
    message: str | None = None

    @property
    def is_open(self) -> bool:
        return self.finished_at is None
