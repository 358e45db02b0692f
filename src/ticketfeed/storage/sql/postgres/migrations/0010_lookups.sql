-- What a record is found by besides its id: an organization by its name and an identity by its value, both in lower case,
-- an agent by the role, a metric set, whose id here is that of its ticket, by its own id.
ALTER TABLE ticketfeed.record ADD COLUMN lookup_key text;

-- Those of organizations and identities are computed by the program (lookup_fill.py).
UPDATE ticketfeed.record SET lookup_key = substring(convert_from(body, 'UTF8') FROM '"role":"([^"]*)"')
WHERE kind = 'users' AND substring(convert_from(body, 'UTF8') FROM '"role":"([^"]*)"') IN ('agent', 'admin');
UPDATE ticketfeed.record SET lookup_key = substring(convert_from(body, 'UTF8') FROM '"id":([0-9]{1,19})[,}]')
WHERE kind = 'ticket_metrics';

CREATE INDEX record_by_lookup_key ON ticketfeed.record (account_id, kind, lookup_key) WHERE lookup_key IS NOT NULL;
CREATE INDEX ticket_by_external_id ON ticketfeed.ticket (account_id, external_id, id) WHERE external_id IS NOT NULL;
