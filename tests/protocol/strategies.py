"""What the tests of several modules share: a ticket's keys, JSON values, and JSON that no record can be made of."""

import json

from hypothesis import strategies as st

__all__ = ["BROKEN_JSON", "TICKET_KEYS", "json_values", "keys", "short", "texts"]

# Written from the facts of the wire, not from the code
_KEYS = (
    "url, id, external_id, via, created_at, updated_at, generated_timestamp, type, subject, raw_subject, "
    "description, priority, status, recipient, requester_id, submitter_id, assignee_id, organization_id, group_id, "
    "collaborator_ids, follower_ids, email_cc_ids, forum_topic_id, problem_id, has_incidents, is_public, due_at, "
    "tags, custom_fields, satisfaction_rating, sharing_agreement_ids, custom_status_id, encoded_id, fields, "
    "followup_ids, ticket_form_id, brand_id, allow_channelback, allow_attachments, from_messaging_channel, "
    "support_type"
)
TICKET_KEYS = _KEYS.split(", ")

# Every character that UTF-8 can carry.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
keys = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)

_VALUES = [
    rb'"\q"',
    rb'"\ud800"',
    rb'"\udc00 low"',
    rb'"\ud800 A low one is missing"',
    rb'"\u12G4"',
    rb'{"\ud800":1}',
    b'"a\nb"',
    b'"a\x00b"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"cut',
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"01",
    b"1.",
    b".5",
    b"+1",
    b"-",
    b"1e",
    b"0x10",
    b"tru",
    b"True",
    b"1 2",
    b"[1,]",
    b'{"a":1,}',
    b"{a:1}",
    b"{'a':1}",
    b"/**/1",
    b"",
    b"[" * 200_000 + b"]" * 200_000,
    b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
]

# A record that would be good, were there not one value, or no JSON object around it.
BROKEN_JSON = [b'{"id":1,"x":%s}' % value for value in _VALUES] + [
    b"",
    b" ",
    b"null",
    b"1",
    b'"id"',
    b"[]",
    b'[{"id":1}]',
    b"{",
    b'{"id":1',
    b'{"id":1}}',
    b'{"id":1}{"id":2}',
    b'{"id":1,}',
    b'{"id"}',
    b"{1:1}",
    b'{"id":1,"\n":1}',
    rb'{"id":1,"\ud800":1}',
    b'{"id":1,"\xff":1}',
    b'\xef\xbb\xbf{"id":1}',
    b"\x1f\x8b\x08\x00",
    json.dumps({"id": 1}).encode("utf-16"),
    json.dumps({"id": 1}).encode("utf-32"),
]


def short(value: object) -> str:
    """The name of a test case, however long its value."""
    return repr(value)[:40]
