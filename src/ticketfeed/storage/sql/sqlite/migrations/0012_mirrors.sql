-- Accounts that are copies of others. `is_mirror`: 1 if the account is one; then its positions are those of its source.
ALTER TABLE feed_state ADD COLUMN is_mirror INTEGER NOT NULL DEFAULT 0;

-- What is known of the source, and where the walk through it stands (protocol/mirrors.py).
CREATE TABLE mirror (
    account_id INTEGER PRIMARY KEY,
    body       BLOB NOT NULL
);

-- The feeds of single kinds of records of a mirror: each follows a stream of its own.
CREATE TABLE kind_state (
    account_id               INTEGER NOT NULL,
    kind                     TEXT NOT NULL,
    last_generated_timestamp INTEGER NOT NULL,
    watermark                INTEGER NOT NULL,
    PRIMARY KEY (account_id, kind)
) WITHOUT ROWID;
