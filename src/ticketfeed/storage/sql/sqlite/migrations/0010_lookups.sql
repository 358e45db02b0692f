-- What a record is found by besides its id: an organization by its name and an identity by its value, both in lower case,
-- an agent by the role, a metric set, whose id here is that of its ticket, by its own id.
ALTER TABLE record ADD COLUMN lookup_key TEXT;

-- Those of organizations and identities are computed by the program (lookup_fill.py).
UPDATE record SET lookup_key = json_extract(CAST(body AS TEXT), '$.role')
WHERE kind = 'users' AND json_valid(CAST(body AS TEXT))
  AND json_extract(CAST(body AS TEXT), '$.role') IN ('agent', 'admin');
UPDATE record SET lookup_key = CAST(json_extract(CAST(body AS TEXT), '$.id') AS TEXT)
WHERE kind = 'ticket_metrics' AND json_valid(CAST(body AS TEXT));

CREATE INDEX record_by_lookup_key ON record (account_id, kind, lookup_key) WHERE lookup_key IS NOT NULL;
CREATE INDEX ticket_by_external_id ON ticket (account_id, external_id, id) WHERE external_id IS NOT NULL;

-- Without statistics SQLite takes the records of an account to be ten, and reads all of them rather than an index. So it is
-- told what a large account is like, the same for every store: plans do not change as one grows. Each number is how many
-- rows have the same first, second, ... column of the index. Of reading all tickets the clustered table is the way: two
-- thirds of its rows are left out for that.
ANALYZE meta;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('ticket', 'ticket', '1000000 300000 2 1'),
    ('ticket', 'ticket_by_id', '1000000 1000000 1'),
    ('ticket', 'ticket_by_problem', '20000 20000 4'),
    ('ticket', 'ticket_deleted', '20000 20000 1'),
    ('ticket', 'ticket_ageing', '100000 100000 50000 2 1'),
    ('ticket', 'ticket_by_external_id', '200000 200000 1 1'),
    ('record', 'record', '5000000 5000000 500000 1'),
    ('record', 'record_feed', '5000000 5000000 500000 2 1'),
    ('record', 'record_by_ticket', '4000000 4000000 1000000 4 1 1'),
    ('record', 'record_by_email', '200000 200000 1'),
    ('record', 'record_by_external_id', '200000 200000 100000 1'),
    ('record', 'record_by_user', '300000 300000 100000 1 1'),
    ('record', 'record_by_organization', '300000 300000 100000 10 1'),
    ('record', 'record_by_lookup_key', '1000000 1000000 300000 1');
