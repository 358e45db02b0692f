"""One ticket's record, made from its place in the timeline and a source of chance of its own.

That source starts from the ticket's place, so any part of a ticket can be made again out of turn: a follow-up
tells the subject of the ticket it follows. Keys are in wire order; scrubbed tickets are as the wire shows them.
"""

from collections.abc import Iterator
from hashlib import blake2b
from random import Random
from typing import Any

from ticketfeed.protocol.records import wire_second
from ticketfeed.world.chance import pick, spread, stream
from ticketfeed.world.desk import AREAS, CUSTOM_TYPES, STATUS_CATEGORIES, Desk, record_url
from ticketfeed.world.languages import Language
from ticketfeed.world.moments import DAY, HOUR
from ticketfeed.world.people import People
from ticketfeed.world.text import SIZE_WEIGHTS, Matter, draw_matter, write_text
from ticketfeed.world.timeline import SCRUBBED, STATUSES, TYPES, Timeline
from ticketfeed.world.via import CHANNEL_WEIGHTS, CHANNELS, Sender, follow_up_via, make_via

__all__ = ["TicketMaker"]

_PRIORITIES = ("low", "normal", "high", "urgent", None)
_PRIORITY_WEIGHTS = (18, 42, 15, 6, 19)
_SUPPORT_TYPES = ("agent", "ai_agent", None)
_SUPPORT_WEIGHTS = (85, 5, 10)
_RECIPIENTS = ("support@example.com", "billing@example.com", "workshop@example.org", "hello@example.net")
_PRAISE = (None, None, "Quick and friendly, thank you! 🎉", "Solved at the first try.", "très bien", "👍")
_BLAME = (None, "Took far too long.", 'I was told "soon" four times', "Wrong part again, same as last year…")
_REASONS = (
    (5001, "Answer came too late"),
    (5002, "Matter not settled"),
    (5003, "Hard to follow"),
    (5000, "No reason"),
)
_TRIED = (
    "Restarted twice",
    "Other socket,\nother cable",
    "Factory reset; no change",
    "Nothing yet",
    "Update → reset",
)
# How often each custom field is filled in
_FILLED = {
    "text": 0.6,
    "textarea": 0.25,
    "regexp": 0.3,
    "date": 0.3,
    "partialcreditcard": 0.08,
    "integer": 0.3,
    "decimal": 0.3,
    "checkbox": 0.8,
    "tagger": 0.7,
    "multiselect": 0.35,
    "lookup": 0.15,
}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_ALPHABET = "".join(_ALPHABET[byte % 36] for byte in range(256)).encode()


class TicketMaker:
    """Makes the records of all tickets of a world, in feed order."""

    def __init__(self, world: str, account: str, desk: Desk, people: People, timeline: Timeline) -> None:
        rng, count = stream(world, "tickets"), len(timeline.ids)
        self._account, self._desk, self._people, self._timeline = account, desk, people, timeline
        self._seed = int(rng.random() * 2**52) << 32
        self._channels = spread(rng, CHANNEL_WEIGHTS, count)
        self._priorities = spread(rng, _PRIORITY_WEIGHTS, count)
        self._supports = spread(rng, _SUPPORT_WEIGHTS, count)
        self._sizes = spread(rng, SIZE_WEIGHTS, count)
        self._rng, self._other_rng = Random(0), Random(0)

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each ticket behind its place in the timeline."""
        return ((place, self._record(place)) for place in self._timeline.feed_order())

    def _open(self, rng: Random, place: int) -> tuple[int, Language, Matter]:
        """The requester and the matter of a ticket: always its first draws, from any source."""
        rng.seed(self._seed | place)
        # Squared: a few customers write often.
        requester = int(rng.random() * rng.random() * self._people.known_at(self._timeline.created[place]))
        language = self._people.language(requester)
        return requester, language, draw_matter(rng, language)

    def _record(self, place: int) -> dict[str, Any]:
        rng, people, plan = self._rng, self._people, self._timeline
        requester, language, matter = self._open(rng, place)
        name = people.name(requester)
        id, status = plan.ids[place], plan.statuses[place]
        channel = self._channel(place, requester)
        support = _SUPPORT_TYPES[self._supports[place]]
        requester_id = people.ids[requester]
        assignee_id, group_id = self._assignment(rng, status, support)
        by_agent = assignee_id is not None and channel in ("web", "voice") and rng.random() < 0.35
        is_public = not by_agent or channel != "web" or rng.random() < 0.7
        cc_ids, follower_ids = self._copies(rng, requester)
        recipient = pick(rng, _RECIPIENTS) if channel == "email" else None
        via = self._via(rng, place, channel, Sender(name, people.email(requester) or "", requester), recipient, cc_ids)
        content = self._content(rng, place, language, matter, name, channel)
        fields = content["custom_fields"]
        return {
            "url": record_url(self._account, "tickets", id),
            "id": id,
            "external_id": f"crm-{int(rng.random() * 90_000)}" if rng.random() < 0.07 else None,
            "via": via,
            "created_at": wire_second(plan.created[place]),
            "updated_at": wire_second(plan.updated[place]),
            "generated_timestamp": plan.generated[place],
            "type": TYPES[plan.types[place]],
            "subject": content["subject"],
            "raw_subject": content["raw_subject"],
            "description": content["description"],
            "priority": _PRIORITIES[self._priorities[place]],
            "status": STATUSES[status],
            "recipient": recipient,
            "requester_id": requester_id,
            "submitter_id": assignee_id if by_agent else requester_id,
            "assignee_id": assignee_id,
            "organization_id": people.organization_id(requester),
            "group_id": group_id,
            "collaborator_ids": sorted(cc_ids + follower_ids),
            "follower_ids": follower_ids,
            "email_cc_ids": cc_ids,
            "forum_topic_id": None,
            "problem_id": plan.problem_ids[place] or None,
            "has_incidents": bool(plan.has_incidents[place]),
            "is_public": is_public,
            "due_at": self._due_at(rng, place),
            "tags": content["tags"],
            "custom_fields": fields,
            "satisfaction_rating": content["satisfaction_rating"],
            "sharing_agreement_ids": [pick(rng, self._desk.agreement_ids)] if rng.random() < 0.02 else [],
            "custom_status_id": self._custom_status(rng, STATUSES[status]),
            "encoded_id": _encoded_id(self._account, id),
            "fields": fields,
            "followup_ids": plan.followup_ids.get(place, []),
            "ticket_form_id": pick(rng, self._desk.form_ids),
            "brand_id": pick(rng, self._desk.brand_ids),
            "allow_channelback": False,
            "allow_attachments": channel not in ("sms", "twitter"),
            "from_messaging_channel": channel == "native_messaging",
            "support_type": support,
        }

    def _content(
        self, rng: Random, place: int, language: Language, matter: Matter, name: str, channel: str
    ) -> dict[str, Any]:
        """The keys of a ticket that hold what people entered, which is what scrubbing removes."""
        plan = self._timeline
        description = write_text(rng, self._sizes[place], language, matter, name)
        values, tags = self._custom_values(rng, matter, place)
        tags += self._plain_tags(rng, matter, channel, place)
        rating = _satisfaction(rng, STATUSES[plan.statuses[place]], place)
        subject, raw_subject = matter.subject, matter.raw_subject
        if plan.statuses[place] == SCRUBBED:
            subject = raw_subject = "SCRUBBED"
            description, tags, rating = "X", [], None
            values = [[] if isinstance(value, list) else None for value in values]
        ids = self._desk.custom_field_ids
        return {
            "subject": subject,
            "raw_subject": raw_subject,
            "description": description,
            "tags": sorted(set(tags)),
            "custom_fields": [{"id": id, "value": value} for id, value in zip(ids, values, strict=True)],
            "satisfaction_rating": rating,
        }

    def _channel(self, place: int, requester: int) -> str:
        """The drawn channel; but follow-ups come by web, and who has no address calls instead of mailing."""
        if place in self._timeline.followed:
            return "web"
        channel = CHANNELS[self._channels[place]]
        return "voice" if channel == "email" and self._people.email(requester) is None else channel

    def _via(
        self, rng: Random, place: int, channel: str, sender: Sender, recipient: str | None, cc_ids: list[int]
    ) -> dict[str, Any]:
        parent = self._timeline.followed.get(place)
        if parent is None:
            return make_via(rng, channel, sender, recipient, cc_ids)
        return follow_up_via(self._timeline.ids[parent], self._open(self._other_rng, parent)[2].subject)

    def _assignment(self, rng: Random, status: int, support: str | None) -> tuple[int | None, int | None]:
        """Assignee and group. Solved and closed tickets have an assignee, unless only a machine answered."""
        group_id = pick(rng, self._desk.group_ids)
        name, chance = STATUSES[status], rng.random()
        if support == "ai_agent" or name == "new":
            return None, group_id if chance < 0.6 else None
        if name in ("solved", "closed") or chance < 0.85:
            return pick(rng, self._people.agent_ids[group_id]), group_id
        return None, group_id if chance < 0.95 else None

    def _copies(self, rng: Random, requester: int) -> tuple[list[int], list[int]]:
        """Email CCs, who are other customers, and followers, who are staff."""
        people = self._people
        cc_ids: list[int] = []
        if rng.random() < 0.1:
            first = int(rng.random() * people.known_at(people.created[requester]))
            places = range(first, min(first + 1 + int(rng.random() * 3), requester))
            cc_ids = [people.ids[place] for place in places if people.email(place)]
        follower_ids: list[int] = []
        if rng.random() < 0.07:
            group = people.agent_ids[pick(rng, self._desk.group_ids)]
            follower_ids = sorted({pick(rng, people.light_ids), pick(rng, group)})
        return cc_ids, follower_ids

    def _custom_values(self, rng: Random, matter: Matter, place: int) -> tuple[list[Any], list[str]]:
        """A value for each active custom field, and the tags that those values carry with them."""
        random = rng.random
        number = int(random() * 100_000)
        groups = self._desk.group_ids
        possible: dict[str, Any] = {
            "text": matter.facts["order"],
            "textarea": pick(rng, _TRIED),
            "regexp": f"SN-{number:05d}-{'ABCDEF'[number % 6]}",
            "date": wire_second(1_500_000_000 + number * 2000)[:10],
            "partialcreditcard": f"XXXXXXXXXXXX{number % 10_000:04d}",
            "integer": str(number % 12 + 1),
            "decimal": matter.facts["amount"],
            "checkbox": number % 13 == 0,
            "tagger": matter.product_tag,
            "multiselect": sorted({pick(rng, AREAS), pick(rng, AREAS)}),
            "lookup": str(self._people.agent_ids[groups[place % len(groups)]][0]),
        }
        values = {kind: possible[kind] if random() < share else None for kind, share in _FILLED.items()}
        tags = [*(values["multiselect"] or ())]
        if values["tagger"]:
            tags.append(values["tagger"])
        if values["checkbox"]:
            tags.append("goodwill")
        return [values[kind] for kind in CUSTOM_TYPES], tags

    def _plain_tags(self, rng: Random, matter: Matter, channel: str, place: int) -> list[str]:
        tags = [matter.topic.tag]
        chance = rng.random()
        if chance < 0.2:
            tags.append(pick(rng, ("reviewed", "second_contact", "größe_fehlt", "vip", "a/b-test", "日本語")))
        if chance < 0.04 and STATUSES[self._timeline.statuses[place]] == "closed":
            tags.append("closed_by_merge")
        if channel == "sample_ticket":
            tags.append("sample_ticket")
        bulk = self._timeline.bulk_tags.get(self._timeline.generated[place])
        return [*tags, bulk] if bulk else tags

    def _due_at(self, rng: Random, place: int) -> str | None:
        if TYPES[self._timeline.types[place]] != "task" or rng.random() < 0.4:
            return None
        morning = (self._timeline.created[place] // DAY + 1 + int(rng.random() * 30)) * DAY + 9 * HOUR
        return wire_second(morning)

    def _custom_status(self, rng: Random, status: str) -> int:
        """One of the status's category; a deleted ticket keeps the one that it had."""
        if status == "deleted":
            status = pick(rng, STATUS_CATEGORIES)
        ids = self._desk.status_ids["solved" if status == "closed" else status]
        return ids[0] if rng.random() < 0.8 else pick(rng, ids)


def _satisfaction(rng: Random, status: str, place: int) -> dict[str, Any] | None:
    chance = rng.random()
    if status not in ("solved", "closed") or chance < 0.5:
        return None if chance < 0.15 else {"score": "unoffered"}
    if chance < 0.7:
        return {"score": "offered"}
    rating: dict[str, Any] = {"id": 9_000_000_000_000 + place * 613}
    if chance < 0.9:
        return {**rating, "score": "good", "comment": pick(rng, _PRAISE)}
    reason_id, reason = pick(rng, _REASONS)
    return {**rating, "score": "bad", "comment": pick(rng, _BLAME), "reason": reason, "reason_id": reason_id}


def _encoded_id(account: str, id: int) -> str:
    """Six characters, a dash, five; the same that a ticket loaded without one is given."""
    text = blake2b(f"{account}/{id}".encode(), digest_size=11).digest().translate(_TO_ALPHABET).decode()
    return f"{text[:6]}-{text[6:]}"
