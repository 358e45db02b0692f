-- Additive: an older release does maintenance beside this one, and scrubs tickets again that are scrubbed already.
-- Which process does what is done once in a store, by the clock of this server, and the accounts that it has found to have
-- reached their quotas. Both are found again after a crash.
CREATE UNLOGGED TABLE ticketfeed.lease (
    name    text PRIMARY KEY,
    owner   text NOT NULL,
    ends_at double precision NOT NULL
);
CREATE UNLOGGED TABLE ticketfeed.full_account (account_id bigint PRIMARY KEY);
-- The second until which all deleted tickets of the account are known to be scrubbed.
ALTER TABLE ticketfeed.feed_state ADD COLUMN scrubbed_until bigint NOT NULL DEFAULT -1;
