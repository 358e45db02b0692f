-- Additive: an older release takes writes of a frozen account, which no account has unless this one freezes it.
-- The Unix second until which writes of the account are refused while it is copied or moved to another store; 0: they are
-- not.
ALTER TABLE ticketfeed.feed_state ADD COLUMN frozen_until bigint NOT NULL DEFAULT 0;
