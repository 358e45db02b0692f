-- Additive: an older release scrubs tickets again that are scrubbed already.
-- The second until which all deleted tickets of the account are known to be scrubbed.
ALTER TABLE feed_state ADD COLUMN scrubbed_until INTEGER NOT NULL DEFAULT -1;
