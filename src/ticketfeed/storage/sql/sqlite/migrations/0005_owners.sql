-- Whose membership or identity a record is, and the organization of a user or a membership.
ALTER TABLE record ADD COLUMN user_id INTEGER;
ALTER TABLE record ADD COLUMN organization_id INTEGER;

UPDATE record SET organization_id = json_extract(CAST(body AS TEXT), '$.organization_id')
WHERE kind = 'users' AND json_valid(CAST(body AS TEXT))
  AND json_type(CAST(body AS TEXT), '$.organization_id') = 'integer'
  AND json_extract(CAST(body AS TEXT), '$.organization_id') BETWEEN 1 AND 9223372036854775807;
UPDATE record SET user_id = json_extract(CAST(body AS TEXT), '$.user_id')
WHERE kind = 'group_memberships' AND json_valid(CAST(body AS TEXT))
  AND json_type(CAST(body AS TEXT), '$.user_id') = 'integer'
  AND json_extract(CAST(body AS TEXT), '$.user_id') BETWEEN 1 AND 9223372036854775807;

CREATE INDEX record_by_user ON record (account_id, kind, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX record_by_organization ON record (account_id, kind, organization_id, id) WHERE organization_id IS NOT NULL;

-- Users that were stored before there were memberships are members of the organization that they name.
INSERT INTO record (account_id, kind, id, generated_timestamp, is_deleted, user_id, organization_id, body)
SELECT account_id, 'organization_memberships', id, generated_timestamp, 0, id, organization_id,
       CAST('{"url":"https://' || subdomain || '.zendesk.com/api/v2/organization_memberships/' || id || '.json","id":' || id
            || ',"user_id":' || id || ',"organization_id":' || organization_id || ',"default":true,"created_at":"' || made
            || '","organization_name":null,"updated_at":"' || made || '","view_tickets":true}' AS BLOB)
FROM (
    SELECT record.account_id, account.subdomain, record.id, record.generated_timestamp, record.organization_id,
           strftime('%Y-%m-%dT%H:%M:%SZ', record.generated_timestamp, 'unixepoch') AS made
    FROM record JOIN account ON account.account_id = record.account_id
    WHERE record.kind = 'users' AND record.organization_id > 0 AND record.id > 0 AND record.is_deleted = 0
);
