-- Accounts that are copies of others. `is_mirror`: 1 if the account is one; then its positions are those of its source.
ALTER TABLE ticketfeed.feed_state ADD COLUMN is_mirror smallint NOT NULL DEFAULT 0;

-- What is known of the source, and where the walk through it stands (protocol/mirrors.py).
CREATE TABLE ticketfeed.mirror (
    account_id bigint PRIMARY KEY,
    body       bytea NOT NULL
);

-- The feeds of single kinds of records of a mirror: each follows a stream of its own.
CREATE TABLE ticketfeed.kind_state (
    account_id               bigint NOT NULL,
    kind                     text NOT NULL,
    last_generated_timestamp bigint NOT NULL,
    watermark                bigint NOT NULL,
    PRIMARY KEY (account_id, kind)
);
