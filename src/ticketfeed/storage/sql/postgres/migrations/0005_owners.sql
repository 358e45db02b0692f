-- Whose membership or identity a record is, and the organization of a user or a membership.
ALTER TABLE ticketfeed.record ADD COLUMN user_id bigint;
ALTER TABLE ticketfeed.record ADD COLUMN organization_id bigint;

-- Bodies may have escapes that jsonb cannot take; their keys stand in a fixed order, without white space.
UPDATE ticketfeed.record
SET organization_id = substring(convert_from(body, 'UTF8') FROM '"organization_id":([0-9]{1,18})[,}]')::bigint
WHERE kind = 'users';
UPDATE ticketfeed.record
SET user_id = substring(convert_from(body, 'UTF8') FROM '"user_id":([0-9]{1,18})[,}]')::bigint
WHERE kind = 'group_memberships';

CREATE INDEX record_by_user ON ticketfeed.record (account_id, kind, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX record_by_organization ON ticketfeed.record (account_id, kind, organization_id, id)
WHERE organization_id IS NOT NULL;

-- Users that were stored before there were memberships are members of the organization that they name.
INSERT INTO ticketfeed.record
    (account_id, kind, id, generated_timestamp, is_deleted, user_id, organization_id, body)
SELECT account_id, 'organization_memberships', id, generated_timestamp, 0, id, organization_id,
       convert_to('{"url":"https://' || subdomain || '.zendesk.com/api/v2/organization_memberships/' || id
            || '.json","id":' || id || ',"user_id":' || id || ',"organization_id":' || organization_id
            || ',"default":true,"created_at":"' || made || '","organization_name":null,"updated_at":"' || made
            || '","view_tickets":true}', 'UTF8')
FROM (
    SELECT record.account_id, account.subdomain, record.id, record.generated_timestamp, record.organization_id,
           to_char(to_timestamp(record.generated_timestamp) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS made
    FROM ticketfeed.record JOIN ticketfeed.account ON account.account_id = record.account_id
    WHERE record.kind = 'users' AND record.organization_id > 0 AND record.id > 0 AND record.is_deleted = 0
) AS member;
