-- What a record is found by besides its id: an organization by its name and an identity by its value, both in lower case,
-- an agent by the role, a metric set, whose id here is that of its ticket, by its own id.
ALTER TABLE ticketfeed.record ADD COLUMN lookup_key text;

-- Text with escapes is read by jsonb, which takes no escapes of NUL and of halves of characters.
UPDATE ticketfeed.record AS record SET lookup_key = lower(btrim(
    CASE WHEN position('\' IN named.json) = 0 THEN btrim(named.json, '"') ELSE named.json::jsonb #>> '{}' END
))
FROM (
    SELECT account_id, kind, id, substring(
        convert_from(body, 'UTF8')
        FROM CASE kind WHEN 'organizations' THEN '"name":("(?:[^"\\]|\\.)*")' ELSE '"value":("(?:[^"\\]|\\.)*")' END
    ) AS json
    FROM ticketfeed.record WHERE kind IN ('organizations', 'identities')
) AS named
WHERE record.account_id = named.account_id AND record.kind = named.kind AND record.id = named.id
  AND length(named.json) <= 600 AND named.json !~* '\\u(0000|d[89a-f])';
UPDATE ticketfeed.record SET lookup_key = substring(convert_from(body, 'UTF8') FROM '"role":"(agent|admin)"')
WHERE kind = 'users';
UPDATE ticketfeed.record SET lookup_key = substring(convert_from(body, 'UTF8') FROM '"id":([0-9]{1,19})[,}]')
WHERE kind = 'ticket_metrics';

CREATE INDEX record_by_lookup_key ON ticketfeed.record (account_id, kind, lookup_key) WHERE lookup_key IS NOT NULL;
CREATE INDEX ticket_by_external_id ON ticketfeed.ticket (account_id, external_id, id) WHERE external_id IS NOT NULL;
