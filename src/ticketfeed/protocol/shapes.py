"""The shape of a ticket, as data: its keys in wire order, and what each says when unset. And every kind of record.

A value of None in a table marks a key that is derived from others (see records.py and tickets.py); all other
values are the JSON text that stands there when the input has no such key.
"""

from typing import Literal, get_args

from ticketfeed.protocol.record_shapes import RECORD_SHAPES, E, F, N, T

__all__ = ["ANONYMOUS_USER", "KINDS", "PAGE_KEYS", "RECORD_SHAPES", "TICKET_SHAPE", "Kind"]

TICKET_SHAPE: dict[str, bytes | None] = {
    "url": None,
    "id": None,
    "external_id": N,
    "via": b'{"channel":"api","source":{"from":{},"to":{},"rel":null}}',
    "created_at": None,
    "updated_at": None,
    "generated_timestamp": None,
    "type": N,
    "subject": N,
    "raw_subject": None,
    "description": N,
    "priority": N,
    "status": b'"new"',
    "recipient": N,
    "requester_id": N,
    "submitter_id": N,
    "assignee_id": N,
    "organization_id": N,
    "group_id": N,
    "collaborator_ids": E,
    "follower_ids": E,
    "email_cc_ids": E,
    "forum_topic_id": N,
    "problem_id": N,
    "has_incidents": F,
    "is_public": T,
    "due_at": N,
    "tags": E,
    "custom_fields": None,
    "satisfaction_rating": N,
    "sharing_agreement_ids": E,
    "custom_status_id": N,
    "encoded_id": None,
    "fields": None,
    "followup_ids": E,
    "ticket_form_id": N,
    "brand_id": N,
    "allow_channelback": F,
    "allow_attachments": T,
    "from_messaging_channel": F,
    "support_type": N,
}

# Whoever asks who they are without credentials.
ANONYMOUS_USER = (
    b'{"id":null,"url":null,"name":"Anonymous user","email":"invalid@example.com","created_at":null,"updated_at":null,'
    b'"time_zone":"UTC","iana_time_zone":"Etc/UTC","phone":null,"shared_phone_number":null,"photo":null,"locale_id":1,'
    b'"locale":"en-US","organization_id":null,"role":"end-user","verified":false,"external_id":null,"tags":[],'
    b'"alias":"","active":true,"shared":false,"shared_agent":false,"last_login_at":null,'
    b'"two_factor_auth_enabled":false,"signature":null,"details":"","notes":"","role_type":null,"custom_role_id":null,'
    b'"is_billing_admin":false,"moderator":false,"ticket_restriction":"requested","only_private_comments":false,'
    b'"restricted_agent":true,"suspended":false,"default_group_id":null,"report_csv":false,"user_fields":{}}'
)

# Every kind that can be loaded, by its plural wire name.
Kind = Literal[
    "tickets",
    "users",
    "groups",
    "organizations",
    "ticket_fields",
    "ticket_forms",
    "brands",
    "custom_statuses",
    "sharing_agreements",
    "user_fields",
    "organization_fields",
    "group_memberships",
    "macros",
    "sla_policies",
    "satisfaction_ratings",
    "audits",
    "ticket_metrics",
    "ticket_metric_events",
]
KINDS: tuple[str, ...] = get_args(Kind)
# What a list of records is called in a saved page -> their kind.
PAGE_KEYS = {**{kind: kind for kind in KINDS}, "metric_sets": "ticket_metrics"}
