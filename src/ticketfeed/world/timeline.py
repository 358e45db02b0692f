"""What must be known of all tickets at once: when they were made and changed, their fate, and their links.

Columns of numbers, one place a ticket, ascending by `created`, and so by id. Rules kept here:

* created <= updated <= generated <= until, but for a few imported tickets that are dated 1970;
* `generated` lies in the 90 days before `until`, mostly in working hours; a bulk edit puts a good part of all
  tickets into one second;
* `updated` stays behind `generated` where only the system changed something;
* a scrubbed ticket was updated (deleted) thirty days before it was generated;
* incidents follow their problem; a follow-up is younger than the end of the closed ticket it follows.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from dataclasses import dataclass, field
from random import Random

from ticketfeed.world.chance import draw_codes, pick, spread
from ticketfeed.world.moments import DAY, HOUR

__all__ = ["SCRUBBED", "STATUSES", "TYPES", "Timeline", "plan_timeline"]

STATUSES = ("new", "open", "pending", "hold", "solved", "closed", "deleted", "deleted")
_NEW, _OPEN, _PENDING, _HOLD, _SOLVED, _CLOSED, _SOFT_DELETED, SCRUBBED = range(8)
_STATUS_WEIGHTS = (60, 140, 110, 45, 215, 350, 50, 30)
# How long before its last change a ticket of each status was made: at least, and how much more at most.
_AGES = (
    (0, 2 * DAY),
    (HOUR, 60 * DAY),
    (HOUR, 50 * DAY),
    (DAY, 120 * DAY),
    (HOUR, 45 * DAY),
    (4 * DAY, 1270 * DAY),
    (0, 400 * DAY),
    (0, 400 * DAY),
)

TYPES = ("question", "incident", "problem", "task", None)
_INCIDENT, _PROBLEM = 1, 2
_TYPE_WEIGHTS = (34, 24, 5, 12, 25)

_SPAN_DAYS = 90
_SCRUB_SECONDS = 30 * DAY
_SCRUB_JITTER = 2 * HOUR
# Bulk edits: tickets in a thousand, their tag
_BULKS = (
    (155, "spring_cleanup"),
    (32, "rerouted"),
    (20, "new_priorities"),
    (12, "survey_round"),
    (8, "tag_fix"),
)
_LINKABLE = 40  # how many of the latest problems and closed tickets may be pointed to
_LAGS = (0, 0, 0, 0, 0, 0, 0, 1, 2, 5)  # seconds from updated to generated when a person made the change


@dataclass(slots=True)
class Timeline:
    ids: array[int]
    created: array[int]
    updated: array[int]
    generated: array[int]
    statuses: bytearray  # places in STATUSES
    types: bytearray  # places in TYPES
    problem_ids: array[int]  # 0: none
    has_incidents: bytearray
    bulk_tags: dict[int, str]  # generated -> tag set by that bulk edit
    followed: dict[int, int] = field(default_factory=dict)  # place of a follow-up -> place of what it follows
    followup_ids: dict[int, list[int]] = field(default_factory=dict)  # the other way round, as ids

    def feed_order(self) -> array[int]:
        """Places in the order of (generated, id)."""
        keys = [moment << 32 | place for place, moment in enumerate(self.generated)]
        keys.sort()
        return array("q", (key & 0xFFFFFFFF for key in keys))


def plan_timeline(tickets: int, until: int, rng: Random) -> Timeline:
    """The columns for that many tickets."""
    moments, bulk_tags = _draw_moments(rng, tickets, until)
    statuses = spread(rng, _STATUS_WEIGHTS, tickets)
    created, generated, statuses = _by_creation(moments, _draw_created(rng, moments, statuses), statuses)
    timeline = Timeline(
        ids=_draw_ids(rng, tickets),
        created=created,
        updated=_draw_updated(rng, created, generated, statuses),
        generated=generated,
        statuses=statuses,
        types=spread(rng, _TYPE_WEIGHTS, tickets),
        problem_ids=array("q", bytes(8 * tickets)),
        has_incidents=bytearray(tickets),
        bulk_tags=bulk_tags,
    )
    _link_incidents(rng, timeline)
    _link_follow_ups(rng, timeline)
    return timeline


def _draw_moments(rng: Random, tickets: int, until: int) -> tuple[array[int], dict[int, str]]:
    """When each ticket last changed, in no order, and the seconds of the bulk edits."""
    start, random = until - _SPAN_DAYS * DAY, rng.random
    hours = draw_codes(rng, [_busyness(start + hour * HOUR + HOUR // 2) for hour in range(_SPAN_DAYS * 24)], tickets)
    moments = array("q", (max(0, start + hour * HOUR + int(random() * HOUR)) for hour in hours))
    tags: dict[int, str] = {}
    place = 0
    for share, tag in _BULKS:
        moment = max(0, until - DAY - int(random() * (_SPAN_DAYS - 2) * DAY))
        size = tickets * share // 1000
        moments[place : place + size] = array("q", [moment]) * size
        tags.setdefault(moment, tag)
        place += size
    if tickets > 1:  # both ends of the span are always there
        moments[-1] = max(0, start + int(random() * HOUR))
        moments[-2] = max(0, until - 60 - int(random() * HOUR))
    return moments, tags


def _busyness(moment: int) -> int:
    """How much goes on in this hour: weekdays and office hours, with some people working late."""
    hour, weekday = moment // HOUR % 24, (moment // DAY + 3) % 7
    rate = 12 if 7 <= hour < 18 else 5 if 18 <= hour < 23 else 1
    return rate if weekday < 5 else 1 + rate // 4


def _draw_created(rng: Random, moments: array[int], statuses: bytearray) -> array[int]:
    random = rng.random
    created = array("q")
    for moment, status in zip(moments, statuses, strict=True):
        least, more = _AGES[status]
        chance = random()
        age = least + int(chance * chance * chance * more)
        if status == SCRUBBED:
            age += _SCRUB_SECONDS + _SCRUB_JITTER
        created.append(max(0, moment - age))
    imported = [place for place, status in enumerate(statuses) if status == _CLOSED]
    for place in imported[: min(3, len(moments) // 400)]:
        created[place] = 0
    return created


def _by_creation(
    moments: array[int], created: array[int], statuses: bytearray
) -> tuple[array[int], array[int], bytearray]:
    """The three columns sorted by `created`, then by the moment of the last change."""
    base = min(moments, default=0)
    # One number a ticket sorts faster and takes a third of a tuple's room; 24 bits hold 90 days and more.
    keys = [
        (start << 24 | moment - base) << 3 | status
        for moment, start, status in zip(moments, created, statuses, strict=True)
    ]
    keys.sort()
    return (
        array("q", (key >> 27 for key in keys)),
        array("q", ((key >> 3 & 0xFFFFFF) + base for key in keys)),
        bytearray(key & 7 for key in keys),
    )


def _draw_ids(rng: Random, tickets: int) -> array[int]:
    """Small and ascending, with gaps where tickets went that are not exported."""
    random, last = rng.random, 0
    ids = array("q")
    for _ in range(tickets):
        chance = random()
        last += 1 if chance < 0.9 else 2 + int((chance - 0.9) * 80)
        ids.append(last)
    return ids


def _draw_updated(rng: Random, created: array[int], generated: array[int], statuses: bytearray) -> array[int]:
    random = rng.random
    updated = array("q")
    for start, moment, status in zip(created, generated, statuses, strict=True):
        chance = random()
        if start == 0:
            value = 0
        elif status == SCRUBBED:
            value = moment - _SCRUB_SECONDS - int(chance * _SCRUB_JITTER)
        elif status == _SOFT_DELETED:
            value = moment
        elif chance < 0.07:  # only the system changed something since
            value = start + int(chance / 0.07 * (moment - start))
        else:
            value = moment - pick(rng, _LAGS)
        updated.append(max(start, value))
    return updated


def _link_incidents(rng: Random, timeline: Timeline) -> None:
    """Two incidents in three point to a recent problem. Deleted tickets take no part: deleting unlinks."""
    random = rng.random
    problems: list[int] = []
    for place, kind in enumerate(timeline.types):
        if timeline.statuses[place] >= _SOFT_DELETED:
            continue
        if kind == _PROBLEM:
            _remember(problems, place, random())
        elif kind == _INCIDENT and problems and random() < 0.66:
            problem = pick(rng, problems)
            timeline.problem_ids[place] = timeline.ids[problem]
            timeline.has_incidents[problem] = 1


def _link_follow_ups(rng: Random, timeline: Timeline) -> None:
    """Some tickets follow a closed one, whose last change was this link, made by the system."""
    random, created, updated = rng.random, timeline.created, timeline.updated
    closed: list[int] = []
    for place, status in enumerate(timeline.statuses):
        if status != SCRUBBED and closed and random() < 0.05:
            parent = pick(rng, closed)
            if timeline.generated[parent] >= created[place] > created[parent]:
                if parent not in timeline.followup_ids:
                    updated[parent] = created[parent] + int(random() * (created[place] - created[parent]))
                timeline.followup_ids.setdefault(parent, []).append(timeline.ids[place])
                timeline.followed[place] = parent
        if status == _CLOSED and created[place]:
            _remember(closed, place, random())


def _remember(latest: list[int], place: int, chance: float) -> None:
    if len(latest) < _LINKABLE:
        latest.append(place)
    else:
        latest[int(chance * _LINKABLE)] = place
