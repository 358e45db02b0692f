-- What only SQLite runs. Its tickets are clustered in feed order, its writes hold the lock of the whole file, and its
-- sidecar is a file of its own, whose tables have no migrations: they can be dropped with the file.

-- name: read_fenced_at
-- The newest watermark that a fence has set.
SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'fenced_at'

-- name: write_fenced_at
-- Raise it.
UPDATE meta SET value = max(CAST(value AS INTEGER), :fenced_at) WHERE name = 'fenced_at'

-- name: count_overwritten
-- How many of the writes that erased have been followed up: what they left in the file was overwritten.
SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'overwritten'

-- name: put_overwritten
-- Store that all have. It also is a commit that other connections notice.
INSERT INTO meta (name, value) SELECT 'overwritten', value FROM meta WHERE name = 'erasures'
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: find_tickets_containing
-- Tickets whose body contains these bytes.
SELECT id FROM ticket WHERE account_id = :account_id AND instr(body, :needle) > 0

-- name: find_records_containing
-- Records whose body contains these bytes.
SELECT id FROM record WHERE account_id = :account_id AND kind = :kind AND instr(body, :needle) > 0

-- name: create_account
-- Add an account, unless there is one of this name. SQLite by itself gives the id of an erased account to the next one.
INSERT INTO account (account_id, subdomain) VALUES (
    1 + max(
        (SELECT coalesce(max(account_id), 0) FROM account),
        (SELECT CAST(value AS bigint) FROM meta WHERE name = 'erased_account_id')
    ),
    :subdomain
) ON CONFLICT (subdomain) DO NOTHING

-- name: lock_state
-- The account's row in a write, which holds the lock of the file already; and until when it is frozen.
SELECT {row}, frozen_until FROM feed_state WHERE account_id = :account_id

-- name: fence_states
-- Fence every account at once, as watermark.fence_states does one: a mirror stays where it is.
UPDATE feed_state
SET watermark = CASE is_mirror WHEN 1 THEN watermark ELSE max(watermark, last_generated_timestamp, :closed) END,
    record_watermark = CASE is_mirror
        WHEN 1 THEN record_watermark ELSE max(record_watermark, record_last_timestamp, :closed)
    END,
    invalidations = invalidations + :fenced,
    record_changes = record_changes + :fenced
RETURNING account_id, {row}

-- name: read_changes
-- A page of tickets: one range of the clustered table. The caller reads the account's row in the same transaction.
SELECT {row}
FROM ticket
WHERE account_id = :account_id
  AND (generated_timestamp, id) > (:after_timestamp, :after_id)
  AND generated_timestamp <= :until
  AND (NOT :exclude_deleted OR status <> 'deleted')
  AND CASE :scope
        WHEN 'agent' THEN support_type IS NOT 'ai_agent'
        WHEN 'ai_agent' THEN support_type IS 'ai_agent'
        ELSE TRUE
      END
ORDER BY generated_timestamp, id
LIMIT :limit

-- name: read_record_changes
-- A page of records of one kind.
SELECT {row}
FROM record
WHERE account_id = :account_id AND kind = :kind
  AND (generated_timestamp, id) > (:after_timestamp, :after_id)
  AND generated_timestamp <= :until
ORDER BY generated_timestamp, id
LIMIT :limit

-- name: find_position
-- As find_positions for one ticket, in half the time.
SELECT {row} FROM ticket WHERE account_id = ? AND id = ?

-- name: delete_ticket
-- Delete a ticket at its old position: the position is the key, so a changed ticket is a new row. What it was is still
-- to be removed from the search index.
DELETE FROM ticket WHERE account_id = ? AND generated_timestamp = ? AND id = ? RETURNING id, status, body

-- name: next_entry_id
-- The number after the newest entry of the search index.
SELECT coalesce(max(entry_id), 0) + 1 FROM search_entry

-- name: find_entry_id
-- The entry of a ticket or record.
SELECT entry_id FROM search_entry WHERE account_id = ? AND kind = ? AND id = ?

-- name: put_entry
-- Add the numbers of an entry, or replace them, where its number stays.
INSERT INTO search_entry (
    entry_id, account_id, kind, id, target_id,
    created_at, updated_at, due_at, solved_at, status, priority, ticket_type
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, kind, id) DO UPDATE
SET target_id = excluded.target_id, created_at = excluded.created_at, updated_at = excluded.updated_at,
    due_at = excluded.due_at, solved_at = excluded.solved_at, status = excluded.status,
    priority = excluded.priority, ticket_type = excluded.ticket_type

-- name: delete_entry
-- Delete the numbers of an entry.
DELETE FROM search_entry WHERE account_id = ? AND kind = ? AND id = ?

-- name: add_entry_text
-- Add the words of an entry.
INSERT INTO search_text (rowid, title, text, notes, other, terms) VALUES (?, ?, ?, ?, ?, ?)

-- name: delete_entry_text
-- Remove the words of an entry, which must be those that were added.
INSERT INTO search_text (search_text, rowid, title, text, notes, other, terms) VALUES ('delete', ?, ?, ?, ?, ?, ?)

-- name: merge_entry_texts
-- Make one part of all that the words are stored in.
INSERT INTO search_text (search_text) VALUES ('optimize')

-- name: clear_search_index
-- Remove every entry.
DELETE FROM search_entry;
INSERT INTO search_text (search_text) VALUES ('delete-all')

-- name: start_written
-- A table of the tickets that a long write has stored. It lasts as long as the connection.
CREATE TEMP TABLE IF NOT EXISTS written_ticket (id INTEGER PRIMARY KEY, generated_timestamp INTEGER NOT NULL)

-- name: add_written
-- Note stored tickets: a JSON object of their ids and seconds.
INSERT INTO written_ticket (id, generated_timestamp)
SELECT CAST(key AS INTEGER), value FROM json_each(:written) WHERE true
ON CONFLICT (id) DO UPDATE SET generated_timestamp = excluded.generated_timestamp

-- name: create_sidecar
-- The tables of the sidecar file.
CREATE TABLE IF NOT EXISTS request_window (
    account_id INTEGER NOT NULL,
    name       TEXT NOT NULL,
    started    INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer (
    account_id INTEGER NOT NULL,
    key        TEXT NOT NULL,
    last_at    REAL NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (account_id, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request (
    number     INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS request_of_account ON request (account_id, number);
CREATE TABLE IF NOT EXISTS anonymous_request (
    number     INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS anonymous_request_of_account ON anonymous_request (account_id, number);
CREATE TABLE IF NOT EXISTS login (
    account_id INTEGER NOT NULL,
    token_hash TEXT NOT NULL,
    ends_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, token_hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (
    name    TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    ends_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS full_account (account_id INTEGER PRIMARY KEY)

-- name: lock_windows
-- Rate-limit windows, in a transaction that holds the lock of the file.
SELECT name, started, used FROM request_window WHERE account_id = :account_id AND name = ANY (:names) ORDER BY name

-- name: lock_consumers
-- Consumers, in a transaction that holds the lock of the file.
SELECT key, body FROM consumer WHERE account_id = :account_id AND key = ANY (:keys) ORDER BY key

-- name: take_lease
-- Take a lease that nobody has, or whose time is over, or renew it; a row is returned only then. One that ends later than
-- any lease can was taken by a clock that was ahead, and is nobody's.
INSERT INTO lease (name, owner, ends_at) VALUES (:name, :owner, unixepoch('subsec') + :seconds)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at
WHERE lease.owner = excluded.owner OR lease.ends_at <= unixepoch('subsec') OR lease.ends_at > unixepoch('subsec') + :longest
RETURNING owner

-- name: scan_positions_by_id
-- Where every ticket is, by the index that writes use.
SELECT {row} FROM ticket INDEXED BY ticket_by_id WHERE account_id = :account_id ORDER BY id

-- name: count_by_time
-- How many tickets were last changed in each span of time; the index is smaller than the table.
SELECT generated_timestamp / :seconds * :seconds, count(*)
FROM ticket INDEXED BY ticket_by_id
WHERE account_id = :account_id AND generated_timestamp >= :since
GROUP BY 1 ORDER BY 1

-- name: size_bytes
-- The size of the file.
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()

-- name: list_columns
-- The columns of a table.
SELECT name FROM pragma_table_info(:name)

-- name: journal_mode
-- Whether the file has a write-ahead log.
PRAGMA journal_mode

-- name: check_pages
-- SQLite's own check of every page and index.
PRAGMA integrity_check(100)

-- name: list_tables
-- All tables; a virtual one by those that it is stored in.
SELECT name FROM sqlite_master
WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' AND name NOT LIKE 'sqlite_%' ORDER BY name

-- name: list_schema
-- Tables and indexes as they were created.
SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name
