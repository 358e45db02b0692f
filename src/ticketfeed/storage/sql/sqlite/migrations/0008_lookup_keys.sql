-- What a record is found by besides its id: an organization by its name and an identity by its value, both in lower case,
-- a metric set, whose id here is that of its ticket, by its own id.
ALTER TABLE record ADD COLUMN lookup_key TEXT;

UPDATE record SET lookup_key = lower(trim(json_extract(CAST(body AS TEXT), '$.name')))
WHERE kind = 'organizations' AND json_valid(CAST(body AS TEXT))
  AND json_type(CAST(body AS TEXT), '$.name') = 'text'
  AND length(CAST(json_extract(CAST(body AS TEXT), '$.name') AS BLOB)) <= 600
  AND instr(CAST(json_extract(CAST(body AS TEXT), '$.name') AS BLOB), x'00') = 0;
UPDATE record SET lookup_key = lower(trim(json_extract(CAST(body AS TEXT), '$.value')))
WHERE kind = 'identities' AND json_valid(CAST(body AS TEXT))
  AND json_type(CAST(body AS TEXT), '$.value') = 'text'
  AND length(CAST(json_extract(CAST(body AS TEXT), '$.value') AS BLOB)) <= 600
  AND instr(CAST(json_extract(CAST(body AS TEXT), '$.value') AS BLOB), x'00') = 0;
UPDATE record SET lookup_key = CAST(json_extract(CAST(body AS TEXT), '$.id') AS TEXT)
WHERE kind = 'ticket_metrics' AND json_valid(CAST(body AS TEXT));

CREATE INDEX record_by_lookup_key ON record (account_id, kind, lookup_key) WHERE lookup_key IS NOT NULL;
