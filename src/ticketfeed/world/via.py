"""How a ticket came in: the `via` object of each channel.

The three inner keys are always there; `{}`, `{}` and null when there is nothing to say.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from ticketfeed.world.chance import pick

__all__ = ["CHANNELS", "CHANNEL_WEIGHTS", "Sender", "follow_up_via", "make_via", "phone_number"]

CHANNELS = (
    "web",
    "email",
    "api",
    "chat",
    "mobile",
    "voice",
    "native_messaging",
    "twitter",
    "facebook",
    "sms",
    "sample_ticket",
)
CHANNEL_WEIGHTS = (300, 340, 120, 60, 40, 40, 60, 10, 10, 15, 5)

_BARE = frozenset({"web", "api", "chat", "native_messaging", "sample_ticket"})


@dataclass(frozen=True, slots=True)
class Sender:
    name: str
    email: str
    number: int


def make_via(rng: Random, channel: str, sender: Sender, recipient: str | None, cc_ids: list[int]) -> dict[str, Any]:
    """The via object of a ticket that `sender` opened; `recipient` and `cc_ids` matter to email only."""
    if channel in _BARE:
        return _via(channel, {}, {}, None)
    if channel == "mobile":
        return _via(channel, {}, {}, "mobile")
    if channel == "email":
        return _email(rng, sender, recipient, cc_ids)
    if channel in ("voice", "sms"):
        ours = {"formatted_phone": "+1 (555) 010-0100", "phone": "+15550100100", "name": "Support line"}
        return _via(channel, {**phone_number(sender.number), "name": sender.name}, ours, "inbound")
    return _social(rng, channel, sender)


def follow_up_via(ticket_id: int, subject: str) -> dict[str, Any]:
    return _via("web", {"ticket_id": ticket_id, "subject": subject, "channel": "web"}, {}, "follow_up")


def phone_number(number: int) -> dict[str, str]:
    """A number from the range that is reserved for fiction."""
    area, last = 200 + number // 100 % 700, number % 100
    return {"formatted_phone": f"+1 ({area}) 555-01{last:02d}", "phone": f"+1{area}55501{last:02d}"}


def _via(channel: str, origin: dict[str, Any], target: dict[str, Any], rel: str | None) -> dict[str, Any]:
    return {"channel": channel, "source": {"from": origin, "to": target, "rel": rel}}


def _email(rng: Random, sender: Sender, recipient: str | None, cc_ids: list[int]) -> dict[str, Any]:
    origin: dict[str, Any] = {"address": sender.email, "name": sender.name}
    target: dict[str, Any] = {"name": "Kitchen Support", "address": recipient}
    if cc_ids:
        target["email_ccs"] = cc_ids
    if rng.random() < 0.15:
        origin["original_recipients"] = [sender.email, recipient]
    return _via("email", origin, target, None)


def _social(rng: Random, channel: str, sender: Sender) -> dict[str, Any]:
    page = f"https://{channel}.example.com"
    handle = f"cook{sender.number}"
    if channel == "twitter":
        origin = {"profile_url": f"{page}/{handle}", "username": handle, "name": sender.name}
        target = {
            "profile_url": f"{page}/kitchensupport",
            "username": "kitchensupport",
            "name": "Kitchen Support",
        }
        return _via(channel, origin, target, pick(rng, ("mention", "direct_message")))
    origin = {
        "name": sender.name,
        "profile_url": f"{page}/{handle}",
        "facebook_id": str(10_000_000 + sender.number),
    }
    target = {"name": "Kitchen Support", "profile_url": f"{page}/kitchensupport", "facebook_id": "1000001"}
    return _via(channel, origin, target, pick(rng, ("post", "message")))
