"""Audits made of ticket events: the inverse of what the export makes of audits."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.audit_views import CHANNEL_NAMES, audit_of_ticket_event, ticket_event_of

_EMPTY = {"from": {}, "to": {}, "rel": None}
_VIAS = st.one_of(
    st.none(),
    st.builds(
        lambda name: {"channel": name, "source": _EMPTY}, st.sampled_from([*CHANNEL_NAMES, "any_channel", "sms"])
    ),
    st.just({"channel": "email", "source": {"from": {"address": "a@example.com"}, "to": {}, "rel": None}}),
)
_EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"id": st.integers(1, 9), "type": st.sampled_from(["Comment", "VoiceComment"]), "body": st.text()},
        optional={"public": st.booleans(), "author_id": st.integers(1, 9), "attachments": st.just([]), "via": _VIAS},
    ),
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 9),
            "type": st.just("Create"),
            "value": st.one_of(st.none(), st.text(), st.lists(st.text())),
        }
        | {"field_name": st.sampled_from(["status", "tags", "360001", "group_id"])},
        optional={"via": _VIAS},
    ),
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 9),
            "type": st.just("Change"),
            "value": st.text(),
            "previous_value": st.none() | st.text(),
        }
        | {"field_name": st.sampled_from(["status", "type", "360001", "assignee_id"])},
    ),
    st.fixed_dictionaries(
        {"id": st.integers(1, 9), "type": st.sampled_from(["Notification", "External", "SlaTargetChange"])},
        optional={"subject": st.text(), "recipients": st.lists(st.integers()), "via": _VIAS},
    ),
)
_AUDITS = st.fixed_dictionaries(
    {
        "id": st.integers(1, 2**62),
        "ticket_id": st.integers(1, 2**62),
        "created_at": st.just("2026-05-28T20:26:40Z"),
        "author_id": st.one_of(st.none(), st.integers(-1, 2**62)),
        "metadata": st.one_of(st.none(), st.just({"system": {"client": "x"}, "custom": {"a": 1}})),
        "events": st.lists(_EVENTS, max_size=4),
        "via": _VIAS,
    }
)


@given(audit=_AUDITS, comment_events=st.booleans())
def test_a_ticket_event_comes_back(audit: dict[str, object], comment_events: bool) -> None:
    """Whatever the audit was, the one that is made of its ticket event shows the same ticket event, byte for byte."""
    event = ticket_event_of(msgspec.json.encode(audit), comment_events=comment_events)
    copied = audit_of_ticket_event(event)
    assert ticket_event_of(copied, comment_events=comment_events) == event
    assert audit_of_ticket_event(ticket_event_of(copied, comment_events=True)) == copied


@pytest.mark.parametrize("bad", [b"{}", b'{"id":1}', b'{"id":"1","ticket_id":2,"created_at":"x"}', b"[]", b"nothing"])
def test_what_is_no_ticket_event(bad: bytes) -> None:
    """It is an error of decoding, and nothing else."""
    with pytest.raises(msgspec.DecodeError):
        audit_of_ticket_event(bad)
