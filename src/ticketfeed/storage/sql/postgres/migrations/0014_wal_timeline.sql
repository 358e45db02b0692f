-- The WAL timeline of the server at the account's last write. A promotion and a point-in-time recovery begin another one.
-- pg_walfile_name is right from the first moment after a promotion; pg_control_checkpoint only from the first checkpoint.
ALTER TABLE ticketfeed.feed_state
ADD COLUMN wal_timeline text NOT NULL DEFAULT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);

-- The same when the newest account was made.
INSERT INTO ticketfeed.meta (name, value)
VALUES ('wal_timeline', substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8));
