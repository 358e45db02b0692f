-- Additive: nothing else refers to the table, and what an older release leaves in it is measured again.
-- How large an account was when it was last measured: its tickets and records, and the bytes of their bodies.
CREATE TABLE ticketfeed.account_size (
    account_id   bigint PRIMARY KEY,
    tickets      bigint NOT NULL,
    ticket_bytes bigint NOT NULL,
    records      bigint NOT NULL,
    record_bytes bigint NOT NULL,
    measured_at  bigint NOT NULL
);
