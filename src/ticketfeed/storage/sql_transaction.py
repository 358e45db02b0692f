"""What a write finds and stores beside tickets and records, the same on every engine with SQL: queries by name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS, IdempotentAnswer
from ticketfeed.protocol.jobs import Job

__all__ = ["SqlTransaction", "jobs_of"]


class SqlTransaction(ABC):
    """A part of a WriteTransaction. An engine says how a query is run, with the account's id among its bindings."""

    now: int

    @abstractmethod
    def _rows(self, name: str, bindings: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run a query that finds something."""

    @abstractmethod
    def _do(self, name: str, bindings: dict[str, Any]) -> None:
        """Run one that changes something."""

    @abstractmethod
    def _ids(self, ids: Sequence[int]) -> Any:
        """Ids in the form that queries take them in."""

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        return {row[0]: row[1] for row in self._rows("find_ticket_bodies", {"ids": self._ids(ids)})}

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        return {row[0]: row[1] for row in self._rows("read_records", {"kind": kind, "ids": self._ids(ids)})}

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        return [row[2] for row in self._rows("read_of_tickets", {"kind": kind, "ids": self._ids([ticket_id])})]

    def find_metric_state(self, ticket_id: int) -> tuple[bytes | None, int]:
        row = self._one("find_metric_state", {"ticket_id": ticket_id})
        assert row is not None
        return row[0], row[1]

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        row = self._one("find_idempotent_answer", {"key": key, "since": self.now - IDEMPOTENCY_SECONDS})
        return IdempotentAnswer(*row) if row else None

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        self._do("forget_answers", {"since": answer.stored_at - IDEMPOTENCY_SECONDS})
        self._do("put_idempotent_answer", {"key": key, **asdict(answer)})

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        self._do("add_job", asdict(job))
        for number, item in enumerate(items):
            self._do("add_job_item", {"job_id": job.id, "number": number, "item": item})

    def next_item(self, job_id: str) -> tuple[Job, int, bytes] | None:
        row = self._one("next_item", {"job_id": job_id})
        return (Job(*row[:6]), row[6], row[7]) if row else None

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        self._do("put_result", {"job_id": job_id, "number": number, "result": result})

    def finish_job(self, job_id: str) -> None:
        self._do("finish_job", {"job_id": job_id, "finished_at": self.now})

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        row = self._one("find_external", {"kind": kind, "external_id": external_id})
        return row[0] if row else None

    def next_id(self, kind: str) -> int:
        row = self._one("next_ticket_id", {}) if kind == "tickets" else self._one("next_record_id", {"kind": kind})
        assert row is not None
        return int(row[0])

    def _one(self, name: str, bindings: dict[str, Any]) -> tuple[Any, ...] | None:
        rows = self._rows(name, bindings)
        return rows[0] if rows else None


def jobs_of(jobs: Sequence[tuple[Any, ...]], results: Sequence[tuple[Any, ...]]) -> list[tuple[Job, list[bytes]]]:
    """What a store found: jobs in order, and (job id, result) of their items in order."""
    found: dict[str, list[bytes]] = {}
    for job_id, result in results:
        found.setdefault(job_id, []).append(result)
    return [(Job(*row), found.get(row[0], [])) for row in jobs]
