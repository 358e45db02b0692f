"""Subjects and descriptions: invented sentences put together, in the requester's language.

Lengths are skewed as in a real help desk: many of a line or two, few of a page, very few with a log pasted.
"""

from dataclasses import dataclass
from random import Random

from ticketfeed.world.chance import pick, take_round
from ticketfeed.world.languages import Language
from ticketfeed.world.words import ASIDES, CLOSINGS, GREETINGS, LOG_LINES, ODD, PRODUCTS, TINY, TOPICS, Topic

__all__ = ["SIZE_WEIGHTS", "Matter", "draw_matter", "write_text"]

_TINY, _SHORT, _MEDIUM, _LONG, _GIANT = range(5)
SIZE_WEIGHTS = (60, 467, 350, 120, 3)

_CITIES = (
    "Leeds",
    "Porto",
    "Graz",
    "Lyon",
    "Sapporo",
    "Austin",
    "Nairobi",
    "Łódź",
    "Malmö",
    "Pune",
    "São Paulo",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "3 March", "the 14th", "Sunday")
_SENTENCES = ((1, 2.4), (2, 4), (6, 14), (3, 4))  # short to giant: at least, and how many more
_GIANT_MIN, _GIANT_SPAN = 10_000, 48_000


@dataclass(slots=True)
class Matter:
    """What a ticket is about. `topic` names its tag and title in every language."""

    topic: Topic
    product_tag: str
    facts: dict[str, str]
    subject: str
    raw_subject: str


def draw_matter(rng: Random, language: Language) -> Matter:
    """The facts of one ticket and its subject; about one subject in thirty has dynamic content in front."""
    topic = pick(rng, TOPICS)
    product, product_tag = pick(rng, PRODUCTS)
    random = rng.random
    cents = int(random() * random() * 60_000) + 250
    facts = {
        "product": product,
        "order": f"K-{100_000 + int(random() * 900_000)}",
        "city": pick(rng, _CITIES),
        "version": f"{3 + int(random() * 4)}.{int(random() * 20)}.{int(random() * 9)}",
        "amount": f"{cents // 100}.{cents % 100:02d}",
        "day": pick(rng, _DAYS),
    }
    subject = raw_subject = pick(rng, language.subjects or topic.subjects).format_map(facts)
    if random() < 0.033:
        subject, raw_subject = f"{topic.title}: {subject}", f"{{{{dc.topic_{topic.tag}}}}}: {subject}"
    return Matter(topic, product_tag, facts, subject, raw_subject)


def write_text(rng: Random, size: int, language: Language, matter: Matter, name: str) -> str:
    """The ticket's description, signed with the requester's name where a person would."""
    if size == _TINY:
        return pick(rng, TINY)
    random = rng.random
    least, more = _SENTENCES[size - _SHORT]
    sentences = _sentences(rng, language, matter.topic, least + int(random() * more))
    text = "\n\n".join(" ".join(sentences[start : start + 3]) for start in range(0, len(sentences), 3))
    if size > _SHORT:
        text = f"{pick(rng, language.greetings or GREETINGS)}\n\n{text}"
    text = text.format_map(matter.facts)
    if random() < 0.1:
        text = f"{text}\n\n{pick(rng, ODD)}"
    if size == _GIANT:
        text = f"{text}\n\n{_log(rng, _GIANT_MIN + int(random() * random() * _GIANT_SPAN))}"
    if size > _SHORT:
        text = f"{text}\n\n{pick(rng, language.closings or CLOSINGS)}\n{name}"
    return text


def _sentences(rng: Random, language: Language, topic: Topic, count: int) -> list[str]:
    """Up to `count` sentences, none twice: first those on the matter, then asides, of which only English has any."""
    own = language.sentences or topic.sentences
    sentences = list(take_round(rng, own, min(count, len(own))))
    if not language.sentences:
        asides = max(count - len(own), int(rng.random() + 0.4))
        sentences += take_round(rng, ASIDES, min(asides, len(ASIDES)))
    return sentences


def _log(rng: Random, length: int) -> str:
    lines: list[str] = []
    clock = int(rng.random() * 40_000)
    while length > 0:
        clock += int(rng.random() * 40)
        hours, rest = divmod(clock, 3600)
        line = f"{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d} {pick(rng, LOG_LINES)} [{clock * 7919:08x}]"
        lines.append(line)
        length -= len(line) + 1
    return "\n".join(lines)
