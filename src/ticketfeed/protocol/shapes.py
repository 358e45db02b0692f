"""The shape of a ticket: its keys in the order of the wire, with their defaults (see record_shapes.py)."""

from ticketfeed.protocol.record_shapes import EMPTY_LIST, FALSE, NULL, TRUE, Shape

__all__ = ["ANONYMOUS_USER", "TICKET_SHAPE"]

TICKET_SHAPE: Shape = {
    "url": None,
    "id": None,
    "external_id": NULL,
    "via": b'{"channel":"api","source":{"from":{},"to":{},"rel":null}}',
    "created_at": None,
    "updated_at": None,
    "generated_timestamp": None,
    "type": NULL,
    "subject": NULL,
    "raw_subject": None,
    "description": NULL,
    "priority": NULL,
    "status": b'"new"',
    "recipient": NULL,
    "requester_id": NULL,
    "submitter_id": NULL,
    "assignee_id": NULL,
    "organization_id": NULL,
    "group_id": NULL,
    "collaborator_ids": EMPTY_LIST,
    "follower_ids": EMPTY_LIST,
    "email_cc_ids": EMPTY_LIST,
    "forum_topic_id": NULL,
    "problem_id": NULL,
    "has_incidents": FALSE,
    "is_public": TRUE,
    "due_at": NULL,
    "tags": EMPTY_LIST,
    "custom_fields": None,
    "satisfaction_rating": NULL,
    "sharing_agreement_ids": EMPTY_LIST,
    "custom_status_id": NULL,
    "encoded_id": None,
    "fields": None,
    "followup_ids": EMPTY_LIST,
    "ticket_form_id": NULL,
    "brand_id": NULL,
    "allow_channelback": FALSE,
    "allow_attachments": TRUE,
    "from_messaging_channel": FALSE,
    "support_type": NULL,
}

# What GET /users/me answers without credentials.
ANONYMOUS_USER = (
    b'{"id":null,"url":null,"name":"Anonymous user","email":"invalid@example.com","created_at":null,"updated_at":null,'
    b'"time_zone":"UTC","iana_time_zone":"Etc/UTC","phone":null,"shared_phone_number":null,"photo":null,"locale_id":1,'
    b'"locale":"en-US","organization_id":null,"role":"end-user","verified":false,"external_id":null,"tags":[],'
    b'"alias":"","active":true,"shared":false,"shared_agent":false,"last_login_at":null,'
    b'"two_factor_auth_enabled":false,"signature":null,"details":"","notes":"","role_type":null,"custom_role_id":null,'
    b'"is_billing_admin":false,"moderator":false,"ticket_restriction":"requested","only_private_comments":false,'
    b'"restricted_agent":true,"suspended":false,"default_group_id":null,"report_csv":false,"user_fields":{}}'
)
