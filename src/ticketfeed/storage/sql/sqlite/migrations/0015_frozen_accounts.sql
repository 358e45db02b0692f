-- Additive: an older release takes writes of a frozen account, which no account has unless this one freezes it.
-- The Unix second until which writes of the account are refused while it is copied or moved to another store; 0: they are
-- not.
ALTER TABLE feed_state ADD COLUMN frozen_until INTEGER NOT NULL DEFAULT 0;

-- The largest id of an account that was erased: no later account gets it again.
INSERT INTO meta (name, value) VALUES ('erased_account_id', '0');
