"""What is left of a ticket that was deleted for good, of the records that belong to it, and of a deleted user.

Erasure goes by what is kept, never by what is removed: ids, times, states, and the shape of events. A key that is not
listed here is gone, known or not; a value of a listed key is kept only if it is of the listed form, so that no text of
a person can be in it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import Raw

from ticketfeed.protocol.model import INT64_MAX, TicketList
from ticketfeed.protocol.record_types import IdentityType
from ticketfeed.protocol.records import encode
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = [
    "ERASED_TEXT",
    "ERASED_USER_NAME",
    "RESTORABLE",
    "TICKET_KINDS",
    "USER_KINDS",
    "erase_ticket_copy",
    "erased_record",
    "erased_ticket",
    "is_erased_ticket",
    "without_reasons",
    "without_subject_of",
]

Keep = Callable[[Any], Any]
Values = dict[str, Any]

# What the wire shows in place of a text (protocol: tickets after scrubbing; users after their permanent deletion).
ERASED_TEXT = "X"
ERASED_SUBJECT = "SCRUBBED"
ERASED_USER_NAME = "Permanently Deleted User"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_ENCODED_ID = re.compile(r"[0-9A-Z]{6}-[0-9A-Z]{4,5}")
_CHANNELS = _words(
    "web email api mobile mobile_sdk rule system chat voice sms twitter facebook any_channel native_messaging "
    "sample_ticket sample_interactive_ticket web_service web_form web_widget mail closed_ticket ticket_sharing ticket "
    "help_center forum topic logmein lotus get_satisfaction dropbox batch import churn side_conversation "
    "answer_bot answer_bot_api answer_bot_for_sdk answer_bot_for_slack answer_bot_for_web_widget messaging "
    "chat_transcript chat_offline_message phone_call_inbound phone_call_outbound voicemail sms_inbound sms_outbound "
    "twitter_dm twitter_like facebook_post facebook_message whatsapp line wechat telegram viber instagram instagram_dm "
    "slack sunshine_conversations_api sunshine_conversations_facebook_messenger sunshine_conversations_twitter_dm "
    "apple_business_chat google_business_messages google_rcs kakaotalk mailgun messagebird twilio_sms android ios "
    "business_messaging_slack_connect user_change user_deletion user_merge group_change group_deletion "
    "organization_change resource_push admin_setting satisfaction_prediction automatic_solution_suggestions "
    "symantec_tickets macro omnichannel routing cti_voice_call cti_phone_call_inbound cti_phone_call_outbound "
    "cti_voicemail api_phone_call_inbound api_phone_call_outbound api_voicemail"
)
_RELATIONS = _words(
    "follow_up trigger automation merge mobile api inbound outbound voicemail zendesk_widget feedback_tab help_center "
    "web_widget mention direct_message post message sla problem problem_incident sharing sms side_conversation "
    "satisfaction_prediction"
)
_EVENT_TYPES = _words(
    "Create Change Comment VoiceComment VoiceApiComment CommentPrivacyChange CommentRedactionEvent "
    "AttachmentRedactionEvent AgentMacroReference MacroReference AssociateAttValsEvent AnyChannelEvent Cc "
    "ChannelBackEvent ChannelBackFailedEvent ChatEndedEvent ChatFileRedactionEvent ChatMessagesRedactionEvent "
    "ChatStartedEvent ChatTranscript CollabThreadClosed CollabThreadCreated CollabThreadReopened CollabThreadReply "
    "EmailCcChange EmailCcNotification Error External FacebookComment FacebookEvent FollowerChange "
    "FollowerNotification "
    "KnowledgeCaptured KnowledgeFlagged KnowledgeLinkAccepted KnowledgeLinked KnowledgeLinkRejected LogMeInTranscript "
    "MessagingCsatEvent Notification NotificationWithCcs OrganizationActivity Push RuleRevisionReference "
    "SatisfactionRating ScheduleAssignment SideConversationEvent SlaTargetChange SmsNotification SMSNotification "
    "SuspendedTicketRecovery SystemComment TalkPublicCallSummaryEvent TicketMerge TicketNotificationWithCcs "
    "TicketSharingEvent TicketUnshareEvent TranslatableError Translation TweetEvent Tweet TwitterDmEvent TwitterEvent "
    "Unshare UserCustomFieldEvent WebhookEvent WhatsAppEvent Attachment OutboundCall"
)
_IDENTITY_TYPES = frozenset(get_args(IdentityType))
_STATUSES = _words("new open pending hold solved closed deleted")
_PRIORITIES = _words("urgent high normal low")
_TICKET_TYPES = _words("problem incident question task")
_SCORES = _words(
    "unoffered offered good bad good_with_comment good_without_comment bad_with_comment bad_without_comment"
)
_METRICS = _words(
    "reply_time agent_work_time requester_wait_time periodic_update_time pausable_update_time resolution_time "
    "total_resolution_time first_reply_time next_reply_time group_ownership_time"
)
_METRIC_EVENTS = _words(
    "activate pause fulfill apply_sla apply_group_sla breach update_status update_group_sla_status measure"
)


def _id(value: Any) -> int | None:
    return value if type(value) is int and -INT64_MAX <= value <= INT64_MAX else None


def _text_id(value: Any) -> Any:
    """An id as events have it, which is text."""
    is_id = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(INT64_MAX))
    return value if is_id else _id(value)


def _ids(value: Any) -> list[int]:
    return [id for id in value if type(id) is int] if isinstance(value, list) else []


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> Any:
    return value if type(value) in (int, float) else None


def _time(value: Any) -> str | None:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None


def _one_of(known: frozenset[str], other: str | None = None) -> Keep:
    return lambda value: value if isinstance(value, str) and value in known else other


def _nothing(value: Any) -> Any:
    """The shape of a value without what is in it."""
    return ERASED_TEXT if isinstance(value, str) else type(value)() if isinstance(value, list | dict) else None


def _text(value: Any) -> str | None:
    return None if value is None else ERASED_TEXT


def _list(_value: Any) -> list[Any]:
    return []


def _object(_value: Any) -> Values:
    return {}


def _parts(**keys: Keep) -> Keep:
    """An object with those of these keys that it has."""
    return lambda value: _kept(value, keys) if isinstance(value, dict) else None


def _kept(values: Mapping[str, Any], keys: Mapping[str, Keep]) -> Values:
    return {key: keys[key](value) for key, value in values.items() if key in keys}


def _channel(value: Any) -> Any:
    """A name, or the number behind one."""
    return value if type(value) is int and 0 <= value < 1000 else _one_of(_CHANNELS)(value)


def _via(value: Any) -> Any:
    """The channel, and the objects of the source empty."""
    if not isinstance(value, dict):
        return None
    source = value.get("source")
    relation = _one_of(_RELATIONS)(source.get("rel")) if isinstance(source, dict) else None
    return {"channel": _channel(value.get("channel")), "source": {"from": {}, "to": {}, "rel": relation}}


def _null(_value: Any) -> None:
    return None


_RATING = _parts(id=_id, score=_one_of(_SCORES), comment=_null, reason=_null, reason_id=_id, reason_code=_id)
_TICKET: dict[str, Keep] = {
    "id": _id,
    "created_at": _time,
    "updated_at": _time,
    "generated_timestamp": _id,
    "type": _one_of(_TICKET_TYPES),
    "priority": _one_of(_PRIORITIES),
    "status": _one_of(_STATUSES, "deleted"),
    "requester_id": _id,
    "submitter_id": _id,
    "assignee_id": _id,
    "organization_id": _id,
    "group_id": _id,
    "collaborator_ids": _ids,
    "follower_ids": _ids,
    "email_cc_ids": _ids,
    "forum_topic_id": _id,
    "problem_id": _id,
    "has_incidents": lambda value: value is True,
    "is_public": lambda value: value is not False,
    "due_at": _time,
    "satisfaction_rating": _RATING,
    "sharing_agreement_ids": _ids,
    "custom_status_id": _id,
    "followup_ids": _ids,
    "ticket_form_id": _id,
    "brand_id": _id,
    "allow_channelback": lambda value: value is True,
    "allow_attachments": lambda value: value is not False,
    "from_messaging_channel": lambda value: value is True,
    "support_type": _one_of(frozenset({"agent", "ai_agent"})),
    "via": _via,
}
_TICKET_TEXTS: Values = {
    "subject": ERASED_SUBJECT,
    "raw_subject": ERASED_SUBJECT,
    "description": ERASED_TEXT,
    "external_id": None,
    "recipient": None,
    "tags": [],
    "custom_fields": [],
    "fields": [],
}


def erased_ticket(ticket: Mapping[str, Any]) -> Values:
    """The values of a ticket after its permanent deletion. Its url is derived anew."""
    encoded_id = ticket.get("encoded_id")
    kept_id = isinstance(encoded_id, str) and _ENCODED_ID.fullmatch(encoded_id)
    return _kept(ticket, _TICKET) | _TICKET_TEXTS | ({"encoded_id": encoded_id} if kept_id else {})


# Which tickets can still be restored. Only the ticket itself has a raw_subject; others repeat the subject in their via.
RESTORABLE = TicketList(deleted=True, without_values=(("raw_subject", encode(ERASED_SUBJECT)),))


def is_erased_ticket(ticket: Mapping[str, Any]) -> bool:
    """Whether a ticket was deleted permanently, here or where it was loaded from."""
    return ticket.get("status") == "deleted" and ticket.get("raw_subject") == ERASED_SUBJECT


# Fields of a ticket whose values are not text of a person; of all others an event keeps that they changed.
_EVENT_VALUES: dict[str, Keep] = {
    "status": _one_of(_STATUSES, ERASED_TEXT),
    "priority": _one_of(_PRIORITIES, ERASED_TEXT),
    "type": _one_of(_TICKET_TYPES, ERASED_TEXT),
    "is_public": _flag,
    "has_incidents": _flag,
    **dict.fromkeys(
        (key for key, keep in _TICKET.items() if keep is _id and key != "generated_timestamp" and key != "id"),
        _text_id,
    ),
    "follower_ids": _ids,
    "collaborator_ids": _ids,
    "email_cc_ids": _ids,
}
_FIELD_NAMES = _one_of(
    frozenset({*_TICKET, *_TICKET_TEXTS, *_EVENT_VALUES, "comment", "custom_status", "ticket_type", "sla_policy"})
)
_EVENT: dict[str, Keep] = {
    "id": _id,
    "type": _one_of(_EVENT_TYPES, "Unknown"),
    "audit_id": _id,
    "author_id": _id,
    "public": _flag,
    "created_at": _time,
    "trusted": _flag,
    "via": _via,
    "field_name": lambda value: _FIELD_NAMES(value) or _text_id(value) or ERASED_TEXT,
    "recipients": _ids,
    "attachments": _list,
    "metadata": _object,
    "data": _object,
    "value": _nothing,
    "previous_value": _nothing,
    "attachment_id": _id,
    "comment_id": _id,
    "macro_id": _id,
    **dict.fromkeys(("body", "html_body", "plain_body", "subject", "formatted_from", "formatted_to"), _text),
}


def _events(value: Any) -> list[Values]:
    return [_event(event) for event in value if isinstance(event, dict)] if isinstance(value, list) else []


def _event(event: Values) -> Values:
    kept = _kept(event, _EVENT)
    keep = _EVENT_VALUES.get(kept.get("field_name", ""))
    if keep is not None:
        kept |= _kept(event, {"value": keep, "previous_value": keep})
    return kept


_MINUTES = _parts(calendar=_number, business=_number)
_RECORDS: dict[str, dict[str, Keep]] = {
    "audits": {
        "id": _id,
        "ticket_id": _id,
        "created_at": _time,
        "author_id": _id,
        "metadata": lambda _value: {"system": {}, "custom": {}},
        "events": _events,
        "via": _via,
    },
    "ticket_metrics": {
        "id": _id,
        "ticket_id": _id,
        **dict.fromkeys(("group_stations", "assignee_stations", "reopens", "replies"), _number),
        **dict.fromkeys(("created_at", "updated_at", "solved_at", "assigned_at", "initially_assigned_at"), _time),
        **dict.fromkeys(("assignee_updated_at", "requester_updated_at", "status_updated_at"), _time),
        **dict.fromkeys(("latest_comment_added_at", "custom_status_updated_at"), _time),
        **dict.fromkeys(
            ("reply_time_in_minutes", "reply_time_in_seconds", "first_resolution_time_in_minutes"), _MINUTES
        ),
        **dict.fromkeys(("full_resolution_time_in_minutes", "agent_wait_time_in_minutes"), _MINUTES),
        **dict.fromkeys(("requester_wait_time_in_minutes", "on_hold_time_in_minutes"), _MINUTES),
    },
    "ticket_metric_events": {
        "id": _id,
        "ticket_id": _id,
        "metric": _one_of(_METRICS, "unknown"),
        "instance_id": _id,
        "type": _one_of(_METRIC_EVENTS, "unknown"),
        "time": _time,
        "deleted": _flag,
        "status": _MINUTES,
        "sla": _parts(target=_number, target_in_seconds=_number, business_hours=_flag, policy=_parts(id=_id)),
        "group_sla": _parts(target=_number, target_in_seconds=_number, business_hours=_flag, policy=_parts(id=_id)),
    },
    "satisfaction_ratings": {
        "id": _id,
        "ticket_id": _id,
        **dict.fromkeys(("assignee_id", "group_id", "requester_id", "reason_id", "reason_code"), _id),
        "score": _one_of(_SCORES, "offered"),
        "created_at": _time,
        "updated_at": _time,
    },
    "users": {"id": _id, "created_at": _time},
    "identities": {"id": _id, "user_id": _id, "type": _one_of(_IDENTITY_TYPES, "foreign"), "created_at": _time},
    "organization_memberships": {"id": _id, "user_id": _id, "organization_id": _id, "created_at": _time},
}
# The kinds of records that belong to a user and are erased with it.
USER_KINDS = ("identities", "organization_memberships")
# The kinds of records that belong to a ticket and are erased with it.
TICKET_KINDS = tuple(kind for kind in _RECORDS if kind not in ("users", *USER_KINDS))


_VALUES = StoredDecoder(dict[str, Any])


def erased_record(kind: str, body: bytes) -> bytes:
    """What is left of a record, to be completed as one that is loaded."""
    values = _kept(_VALUES.decode(body), _RECORDS[kind])
    if kind == "identities":
        values |= {"value": ERASED_TEXT, "deleted": True}
    if kind == "organization_memberships":
        values |= {"deleted": True}
    if kind == "users":
        values |= {"name": ERASED_USER_NAME, "active": False, "permanently_deleted": True}
    return encode(values)


def without_subject_of(ticket_id: int, value: Any) -> Any:
    """A value without the subject of this ticket, which follow-up tickets repeat in their `via`."""
    if isinstance(value, list):
        return [without_subject_of(ticket_id, each) for each in value]
    if not isinstance(value, dict):
        return value
    copied = {key: without_subject_of(ticket_id, each) for key, each in value.items()}
    if value.get("ticket_id") == ticket_id and "subject" in value:
        copied["subject"] = ERASED_SUBJECT
    return copied


def erase_ticket_copy(data: bytes, ticket_id: int, erased: bytes) -> bytes:
    """An idempotency answer or the result of a job item without the content of this ticket, whose body is `erased`.

    Of items that failed nobody can say whose content the reasons repeat: all are erased.
    """
    values = msgspec.json.decode(data)
    if isinstance(values.get("ticket"), dict) and values["ticket"].get("id") == ticket_id:
        audit = values.get("audit")
        kept = None if audit is None else Raw(erased_record("audits", encode(audit)))
        return encode({"ticket": Raw(erased), "audit": kept})
    return without_reasons(data)


def without_reasons(data: bytes) -> bytes:
    """The result of a job item, without the reasons of its failure."""
    values = msgspec.json.decode(data)
    reasons = {key: ERASED_TEXT for key in ("details", "errors") if key in values}
    return encode(values | reasons) if reasons else data
