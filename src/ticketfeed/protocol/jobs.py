"""Background jobs: many changes in one request, done one by one, each with a result of its own.

The write of an item stores its result, too. So after a crash each item is done and has a result, or neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

__all__ = ["ERASED_ITEM", "JOB_ITEMS_MAX", "Job", "job_status"]

# The limit of the original.
JOB_ITEMS_MAX = 100
# What is left of an item that is done.
ERASED_ITEM = b"{}"


@dataclass(frozen=True, slots=True)
class Job:
    """`action`: a verb and a kind, such as "create tickets". `actor_id`: the user in whose name the items are done.
    `total`: how many items there are."""

    id: str
    action: str
    actor_id: int
    created_at: int
    total: int
    finished_at: int | None = None


def job_status(job: Job, results: Sequence[bytes], account: str) -> dict[str, Any]:
    """The job as on the wire. `results`: of the items that are done, one JSON object each."""
    is_of_one = job.action.startswith("scrub_one ")  # a permanent deletion of one ticket, as recorded
    is_done = job.finished_at is not None
    started = bool(results) or is_done
    message = f"{datetime.fromtimestamp(job.finished_at or 0, UTC):Completed at %Y-%m-%d %H:%M:%S +0000}"
    return {
        "id": job.id,
        "job_type": job.action.replace("scrub_one", "scrub"),
        "url": f"https://{account}.zendesk.com/api/v2/job_statuses/{job.id}.json",
        "total": None if is_of_one else job.total,
        "progress": len(results) if started and not is_of_one else None,
        "status": "completed" if is_done else "working" if started else "queued",
        "message": message if is_done else None,
        "results": None if not is_done else Raw(results[0]) if is_of_one else [Raw(result) for result in results],
    }
