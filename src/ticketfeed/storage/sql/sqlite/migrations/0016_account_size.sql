-- Additive: nothing else refers to the table, and what an older release leaves in it is measured again.
-- How large an account was when it was last measured: its tickets and records, and the bytes of their bodies.
CREATE TABLE account_size (
    account_id   INTEGER PRIMARY KEY,
    tickets      INTEGER NOT NULL,
    ticket_bytes INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    record_bytes INTEGER NOT NULL,
    measured_at  INTEGER NOT NULL
);
