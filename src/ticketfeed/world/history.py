"""What happened to one ticket, told so that it ends as the ticket is: audits, ratings, and the plan of its metrics.

A history is drawn backwards from the finished ticket: its final status gives the path of statuses, its times the
span, its people the authors. The first audit carries the description and the initial values; replayed, the changes
lead to the ticket's own status, assignee, group and priority; the last one is of the second `updated_at` tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ticketfeed.protocol.audits import SYSTEM_ID, change_events, comment_event
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.ticket_metrics import MetricState, Step, metric_events, metric_set
from ticketfeed.world.chance import pick, stream
from ticketfeed.world.desk import Desk, record_url
from ticketfeed.world.people import People
from ticketfeed.world.setup import Setup

__all__ = ["HistoryMaker"]

Record = dict[str, Any]
Pair = tuple[str, Record]

# Every ticket has this many ids for what belongs to it, beyond those of everything else: exact as a double.
_FIRST_ID, _IDS = 200_000_000_000_000, 128
_METRIC_EVENTS_FROM = 96

# The statuses that a ticket went through on its way to the final one; one of several ways.
_PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "new": ((),),
    "open": (("open",), ("open",), ("open", "pending", "open")),
    "pending": (("open", "pending"), ("pending",)),
    "hold": (("open", "hold"), ("hold",)),
    "solved": (("open", "solved"), ("solved",), ("open", "pending", "open", "solved"), ("solved", "open", "solved")),
    "closed": (("solved", "closed"), ("open", "solved", "closed"), ("open", "pending", "solved", "closed")),
    "deleted": (("deleted",), ("open", "deleted"), ("open", "pending", "deleted")),
}
_ANSWERS = (
    "Thank you for writing. We are looking into it.",
    "A replacement is on its way; you will get the tracking number tonight.",
    "Could you send us a picture of the label on the underside?",
    "Please update to the newest version and tell us whether it still happens.",
    "The refund was made; it takes up to five working days to arrive.",
    "Das Ersatzteil ist unterwegs. 📦",
)
_REPLIES = (
    "Thank you, that did it!",
    "It still happens, every morning.",
    "Here is the picture that you asked for.",
    "Danke, das hat geholfen.",
    "Merci, ça marche !",
    "Any news?",
)
_NOTES = ("Waiting for the supplier.", "Same as last week; see the other ticket.", "Part ordered, due Thursday.")
_CREATED = ("subject", "type", "priority", "status", "group_id", "assignee_id", "requester_id", "brand_id", "tags")
_SYSTEM_VIA = {
    "channel": "rule",
    "source": {"from": {"id": 1001, "title": "Close solved tickets"}, "to": {}, "rel": "automation"},
}
_TRIGGER_VIA = {
    "channel": "rule",
    "source": {"from": {"id": 1002, "title": "Notify the requester"}, "to": {}, "rel": "trigger"},
}
_WEB = {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}}


@dataclass(slots=True)
class _Ids:
    next: int

    def take(self) -> int:
        self.next += 1
        return self.next


@dataclass(slots=True)
class _Story:
    """A ticket on its way: its values so far, and what was done."""

    ticket: Record
    ids: _Ids
    values: Record
    audits: list[Record] = field(default_factory=list)
    metrics: MetricState = field(default_factory=MetricState)


class HistoryMaker:
    """Tells the history of tickets, each from a source of chance of its own."""

    def __init__(self, world: str, account: str, desk: Desk, people: People, setup: Setup) -> None:
        self._account, self._desk, self._people, self._setup = account, desk, people, setup
        self._seed = int(stream(world, "histories").random() * 2**52) << 32
        self._rng = Random(0)

    def records(self, ticket: Record, created: int, updated: int) -> Iterator[Pair]:
        """Everything that belongs to one ticket whose content was not scrubbed."""
        rng, id = self._rng, ticket["id"]
        rng.seed(self._seed | id)
        first_id = _FIRST_ID + id * _IDS
        story = _Story(ticket, _Ids(first_id), {})
        path = pick(rng, _PATHS[ticket["status"]]) if updated > created else ()
        self._begin(story, created, path)
        moments = sorted(created + int(rng.random() * (updated - created)) for _ in path[1:])
        for status, moment in zip(path, [*moments, updated], strict=False):  # without a path there is no step
            self._go_on(story, status, moment)
        if not path and updated > created:
            self._comment_only(story, updated)
        for audit in story.audits:
            yield "audits", audit
        metrics = metric_set(story.metrics, ticket["requester_id"])
        url = record_url(self._account, "ticket_metrics", first_id)
        yield "ticket_metrics", {"url": url, "id": first_id, "ticket_id": id, **metrics}
        policy = self._setup.policy_of.get(ticket["priority"])
        for number, event in enumerate(metric_events(story.metrics, ticket["requester_id"], policy)):
            yield "ticket_metric_events", {"id": first_id + _METRIC_EVENTS_FROM + number, "ticket_id": id, **event}
        rating = ticket["satisfaction_rating"]
        if rating and "id" in rating:
            yield "satisfaction_ratings", self._rating(ticket, rating)

    def _begin(self, story: _Story, created: int, path: tuple[str, ...]) -> None:
        """The first audit: the description, and the values that the ticket came with."""
        rng, ticket, values = self._rng, story.ticket, story.values
        by_agent = ticket["submitter_id"] != ticket["requester_id"]
        values.update({name: ticket[name] for name in _CREATED})
        if path:
            values["status"] = "open" if by_agent and path[0] != "open" else "new"
            if not by_agent:
                values["assignee_id"] = None
            if rng.random() < 0.2:
                values["priority"] = None
            if ticket["group_id"] is not None and rng.random() < 0.12:
                values["group_id"] = None if not by_agent and rng.random() < 0.5 else pick(rng, self._desk.group_ids)
        comment = comment_event(ticket["description"], None, ticket["submitter_id"], public=ticket["is_public"])
        creations = change_events(None, values, values)
        self._audit(story, created, ticket["submitter_id"], [comment, *creations], ticket["via"])

    def _go_on(self, story: _Story, status: str, moment: int) -> None:
        """One step: somebody answers, and the status changes; whatever else must become final does so here."""
        rng, ticket = self._rng, story.ticket
        agent_id = self._agent(ticket)
        events: list[Record] = []
        author, via = agent_id, _WEB
        if status in ("closed", "deleted"):
            author, via = (SYSTEM_ID, _SYSTEM_VIA) if status == "closed" else (agent_id, _WEB)
        elif status == "open" and story.values["status"] in ("pending", "solved"):
            author = ticket["requester_id"]
            events.append(comment_event(pick(rng, _REPLIES), None, author, public=ticket["is_public"]))
        elif status == "hold":
            events.append(comment_event(pick(rng, _NOTES), None, author, public=False))
        else:
            events.append(comment_event(pick(rng, _ANSWERS), None, author, public=ticket["is_public"]))
            if ticket["is_public"] and rng.random() < 0.2:
                recipients = [ticket["requester_id"]]
                note = {
                    "type": "Notification",
                    "via": _TRIGGER_VIA,
                    "subject": "Re: your request",
                    "body": "{{ticket.comments}}",
                }
                events.append({"id": 0, **note, "recipients": recipients})
        finals = {name: ticket[name] for name in ("assignee_id", "group_id", "priority")}
        finals["status"] = status
        events += change_events(story.values, finals, finals)
        story.values.update(finals)
        self._audit(story, moment, author, events, via)

    def _comment_only(self, story: _Story, moment: int) -> None:
        """A ticket that kept its status all the time was written to once more."""
        ticket = story.ticket
        comment = comment_event(pick(self._rng, _REPLIES), None, ticket["requester_id"], public=ticket["is_public"])
        self._audit(story, moment, ticket["requester_id"], [comment], ticket["via"])

    def _audit(self, story: _Story, moment: int, author: int, events: list[Record], via: Record) -> None:
        audit_id = story.ids.take()
        for event in events:
            event["id"] = story.ids.take()
            if "audit_id" in event:
                event["audit_id"] = audit_id
        story.audits.append(
            {
                "id": audit_id,
                "ticket_id": story.ticket["id"],
                "created_at": wire_second(moment),
                "author_id": author,
                "metadata": {"system": {"location": "Leeds, United Kingdom"} if author > 0 else {}, "custom": {}},
                "events": events,
                "via": via,
            }
        )
        comment = next((event for event in events if event["type"] == "Comment"), None)
        values = story.values
        story.metrics.add(
            Step(
                moment,
                values["status"],
                values["group_id"],
                values["assignee_id"],
                author,
                has_comment=comment is not None,
                has_public_comment=comment is not None and comment["public"],
            )
        )

    def _agent(self, ticket: Record) -> int:
        """Whoever answers: the assignee, or somebody of the group."""
        if ticket["assignee_id"] is not None:
            return int(ticket["assignee_id"])
        group_id = ticket["group_id"] or self._desk.group_ids[0]
        return self._people.agent_ids[group_id][0]

    def _rating(self, ticket: Record, rating: Record) -> Record:
        return {
            "url": record_url(self._account, "satisfaction_ratings", rating["id"]),
            "id": rating["id"],
            "assignee_id": ticket["assignee_id"],
            "group_id": ticket["group_id"],
            "requester_id": ticket["requester_id"],
            "ticket_id": ticket["id"],
            "score": rating["score"],
            "created_at": ticket["updated_at"],
            "updated_at": ticket["updated_at"],
            "comment": rating["comment"],
            "reason": rating.get("reason"),
            "reason_id": rating.get("reason_id"),
        }
