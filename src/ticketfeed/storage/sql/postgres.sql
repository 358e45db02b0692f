-- What only PostgreSQL runs. Locks are taken row by row, and each page is one statement, hence one snapshot.

-- name: read_clock
-- The time of the server, which the clock of this machine is compared with. Nothing that is stored depends on it.
SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)

-- name: read_backend
-- The process of the server that serves this connection; and whether the database has the extension Citus.
SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')

-- name: read_fenced_at
-- The newest watermark that a fence has set, which no fence can change until the new account is there.
SELECT value::bigint FROM ticketfeed.meta WHERE name = 'fenced_at' FOR SHARE

-- name: write_fenced_at
-- Raise it.
UPDATE ticketfeed.meta SET value = greatest(value::bigint, :fenced_at)::text WHERE name = 'fenced_at'

-- name: find_tickets_containing
-- Tickets whose body contains these bytes.
SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id AND position(:needle::bytea IN body) > 0

-- name: find_records_containing
-- Records whose body contains these bytes.
SELECT id FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND position(:needle::bytea IN body) > 0

-- name: create_account
-- Add an account, unless there is one of this name.
INSERT INTO ticketfeed.account (subdomain) VALUES (:subdomain) ON CONFLICT (subdomain) DO NOTHING

-- name: lock_state
-- The account's row, locked until the end of the transaction: writes of one account run one after the other. Its last
-- columns: until when it is frozen; and the WAL timeline, if it is another one than at the last write. In a SELECT, Citus
-- evaluates that where the row is.
SELECT {row}, frozen_until, nullif(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), wal_timeline)
FROM ticketfeed.feed_state WHERE account_id = :account_id FOR UPDATE

-- name: lock_state_nowait
-- The same, or an error at once if a write holds it.
SELECT {row}, frozen_until, nullif(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), wal_timeline)
FROM ticketfeed.feed_state WHERE account_id = :account_id FOR UPDATE NOWAIT

-- name: max_ids_of_new
-- The largest ids, no larger than id_max, of what gets one when a ticket is made: max_ticket_id and max_record_id at once.
SELECT newest_ticket.id, newest_audit.id, newest_event.id
FROM (
    SELECT coalesce(max(id), 0) AS id FROM ticketfeed.ticket WHERE account_id = :account_id AND id <= :id_max
) AS newest_ticket, (
    SELECT coalesce(max(id), 0) AS id FROM ticketfeed.record
    WHERE account_id = :account_id AND kind = 'audits' AND id <= :id_max
) AS newest_audit, (
    SELECT coalesce(max(id), 0) AS id FROM ticketfeed.record
    WHERE account_id = :account_id AND kind = 'ticket_metric_events' AND id <= :id_max
) AS newest_event

-- name: write_timeline
-- Store the timeline of the account's row, which the transaction has locked.
UPDATE ticketfeed.feed_state SET wal_timeline = :timeline WHERE account_id = :account_id

-- name: fence_states
-- Fence every account at once, as watermark.fence_states does one: a mirror stays where it is.
UPDATE ticketfeed.feed_state
SET watermark = CASE is_mirror WHEN 1 THEN watermark ELSE greatest(watermark, last_generated_timestamp, :closed) END,
    record_watermark = CASE is_mirror
        WHEN 1 THEN record_watermark ELSE greatest(record_watermark, record_last_timestamp, :closed)
    END,
    invalidations = invalidations + :fenced,
    record_changes = record_changes + :fenced
RETURNING account_id, {row}

-- name: read_new_timeline
-- The WAL timeline, if it is another one than when the newest account was made. A standby, which takes no account, has
-- none of its own.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN nullif(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), value) END
FROM ticketfeed.meta WHERE name = 'wal_timeline'

-- name: write_new_timeline
-- Store it.
UPDATE ticketfeed.meta SET value = :timeline WHERE name = 'wal_timeline'

-- name: read_changes
-- A page of tickets, each with the account's row after it; where there are none, the account's row after nulls.
SELECT {change.row}, {state.StateRow}
FROM ticketfeed.feed_state AS state
LEFT JOIN LATERAL (
    SELECT {row}, sum(octet_length(body)) OVER (
        ORDER BY generated_timestamp, id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING
    ) AS bytes_before
    FROM ticketfeed.ticket
    WHERE account_id = :account_id
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND generated_timestamp <= least(:until, state.watermark)
      AND (NOT :exclude_deleted OR status <> 'deleted')
      AND CASE :scope
            WHEN 'agent' THEN support_type IS DISTINCT FROM 'ai_agent'
            WHEN 'ai_agent' THEN support_type IS NOT DISTINCT FROM 'ai_agent'
            ELSE TRUE
          END
    ORDER BY generated_timestamp, id
    LIMIT :limit
) AS change ON coalesce(change.bytes_before, 0) <= :page_bytes_max
WHERE state.account_id = :account_id

-- name: read_record_changes
-- A page of records of one kind, in the same form. Of a mirror the kind has a state of its own.
SELECT {change.row}, {state.StateRow}
FROM (
    SELECT every.account_id, every.last_generated_timestamp, every.watermark, every.ticket_count, every.invalidations,
        every.record_changes, every.is_mirror,
        coalesce(own.last_generated_timestamp, every.record_last_timestamp) AS record_last_timestamp,
        coalesce(own.watermark, every.record_watermark) AS record_watermark
    FROM ticketfeed.feed_state AS every
    LEFT JOIN ticketfeed.kind_state AS own ON own.account_id = every.account_id AND own.kind = :kind
    WHERE every.account_id = :account_id
) AS state
LEFT JOIN LATERAL (
    SELECT {row}, sum(octet_length(body)) OVER (
        ORDER BY generated_timestamp, id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING
    ) AS bytes_before
    FROM ticketfeed.record
    WHERE account_id = :account_id AND kind = :kind
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND generated_timestamp <= least(:until, state.record_watermark)
    ORDER BY generated_timestamp, id
    LIMIT :limit
) AS change ON coalesce(change.bytes_before, 0) <= :page_bytes_max
WHERE state.account_id = :account_id

-- name: count_overwritten
-- How many of the writes that erased have been followed up.
SELECT coalesce(max(value::bigint), 0) FROM ticketfeed.meta WHERE name = 'overwritten'

-- name: put_overwritten
-- Store how many have.
INSERT INTO ticketfeed.meta (name, value) VALUES ('overwritten', :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: delete_entries
-- Delete the entries of tickets or records of one kind.
DELETE FROM ticketfeed.search_entry WHERE account_id = :account_id AND kind = :kind AND id = ANY (:ids)

-- name: analyze_search_index
-- Make new statistics of all entries, unless another transaction does. Not on Citus, where the write of one account would
-- need every worker: each makes its own a minute later.
DO $$ BEGIN
    IF to_regclass('pg_dist_partition') IS NULL THEN
        ANALYZE (SKIP_LOCKED) ticketfeed.search_entry;
    END IF;
END $$

-- name: clear_search_index
-- Remove every entry.
TRUNCATE ticketfeed.search_entry

-- name: start_written
-- A table of the tickets that a long write has stored. It ends with the transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS written_ticket (
    id bigint PRIMARY KEY, generated_timestamp bigint NOT NULL
) ON COMMIT DROP

-- name: add_written
-- Note stored tickets: a JSON object of their ids and seconds.
INSERT INTO written_ticket (id, generated_timestamp)
SELECT CAST(key AS bigint), CAST(value AS bigint) FROM json_each_text(CAST(:written AS json))
ON CONFLICT (id) DO UPDATE SET generated_timestamp = excluded.generated_timestamp

-- name: lock_windows
-- Rate-limit windows, locked in the order of their names, so that two processes cannot block each other for good.
SELECT name, started, used FROM ticketfeed.request_window
WHERE account_id = :account_id AND name = ANY (:names)
ORDER BY name FOR UPDATE

-- name: lock_consumers
-- Consumers, locked in the order of their keys.
SELECT key, body FROM ticketfeed.consumer
WHERE account_id = :account_id AND key = ANY (:keys)
ORDER BY key FOR UPDATE

-- name: take_lease
-- Take a lease that nobody has, or whose time is over, or renew it; a row is returned only then. One that ends later than
-- any lease can was taken by a clock that was ahead, and is nobody's.
INSERT INTO ticketfeed.lease (name, owner, ends_at) VALUES (:name, :owner, extract(epoch FROM clock_timestamp()) + :seconds)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at
WHERE lease.owner = excluded.owner OR lease.ends_at <= extract(epoch FROM clock_timestamp()) OR lease.ends_at > extract(epoch FROM clock_timestamp()) + :longest
RETURNING owner

-- name: scan_positions_by_id
-- Where every ticket is, by the index that writes use.
SELECT {row} FROM ticketfeed.ticket WHERE account_id = :account_id ORDER BY id

-- name: count_by_time
-- How many tickets were last changed in each span of time.
SELECT generated_timestamp / :seconds * :seconds AS begin, count(*)
FROM ticketfeed.ticket
WHERE account_id = :account_id AND generated_timestamp >= :since
GROUP BY begin ORDER BY begin

-- name: size_bytes
-- The size of our tables with their indexes.
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
WHERE pg_namespace.nspname = 'ticketfeed' AND pg_class.relkind IN ('r', 'p')

-- name: read_store_id
-- The id of the store.
SELECT value FROM ticketfeed.meta WHERE name = 'store_id'

-- name: is_standby
-- Whether the server takes no writes.
SELECT pg_is_in_recovery()

-- name: risky_settings
-- Settings with which a crash may lose commits.
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
ORDER BY name

-- name: find_citus
-- Whether the tables may be distributed.
SELECT 1 WHERE to_regclass('pg_dist_partition') IS NOT NULL

-- name: list_distributed
-- The tables of ours that Citus distributes: by which column, and the group of those that lie beside each other. One that
-- is on all nodes has no column.
SELECT class.relname, coalesce(column_to_column_name(part.logicalrelid, part.partkey), ''), part.colocationid
FROM pg_dist_partition AS part
JOIN pg_class AS class ON class.oid = part.logicalrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed' AND (part.partmethod = 'h' OR (part.partmethod = 'n' AND part.repmodel = 't'))

-- name: list_left_behind
-- Those of them of which the coordinator still has rows from before they were distributed.
SELECT class.relname FROM pg_dist_partition AS part
JOIN pg_class AS class ON class.oid = part.logicalrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed' AND (part.partmethod = 'h' OR (part.partmethod = 'n' AND part.repmodel = 't'))
  AND pg_relation_size(class.oid) > 0
ORDER BY class.relname

-- name: list_of_table
-- A table of ours, its indexes and the sequences of its columns, and the kind of each.
SELECT class.relname, class.relkind::text FROM pg_class AS class
WHERE class.oid = ('ticketfeed.' || :table)::regclass
   OR class.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ('ticketfeed.' || :table)::regclass)
   OR (class.relkind = 'S' AND class.oid IN (
       SELECT objid FROM pg_depend
       WHERE classid = 'pg_class'::regclass AND refobjid = ('ticketfeed.' || :table)::regclass
   ))

-- name: list_node_groups
-- The nodes of Citus; that of group 0 is the coordinator.
SELECT DISTINCT groupid FROM pg_dist_node

-- name: list_placements
-- The shard that each of these accounts lies in, and the group of the node that has it.
SELECT id, placement.shardid, placement.groupid FROM unnest(CAST(:ids AS bigint[])) AS id
JOIN pg_dist_placement AS placement
    ON placement.shardid = get_shard_id_for_distribution_column('ticketfeed.feed_state', id)

-- name: run_on_workers
-- The value of a query on each other node of Citus.
SELECT nodename, nodeport, success, result FROM run_command_on_workers(:query)

-- name: list_tables
-- Our tables.
SELECT tablename FROM pg_tables WHERE schemaname = 'ticketfeed' ORDER BY tablename

-- name: list_relations
-- Our tables and indexes.
SELECT class.relname FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed'

-- name: list_invalid_indexes
-- Indexes that are not in use, as after a CREATE INDEX that failed.
SELECT class.relname FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indexrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed' AND NOT (index.indisvalid AND index.indisready)
ORDER BY class.relname

-- name: count_checksum_failures
-- Pages of this database whose checksum failed, as far as PostgreSQL has counted.
SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()

-- name: list_columns
-- The columns of a table.
SELECT CAST(column_name AS text) FROM information_schema.columns
WHERE table_schema = 'ticketfeed' AND table_name = :name
ORDER BY ordinal_position
