-- The invalidation log and the idempotency answers, by the names that the code has for them.
ALTER TABLE ticketfeed.departure RENAME TO invalidation;
ALTER TABLE ticketfeed.feed_state RENAME COLUMN departures TO invalidations;
ALTER TABLE ticketfeed.kept_answer RENAME TO idempotent_answer;
ALTER TABLE ticketfeed.idempotent_answer RENAME COLUMN kept_at TO stored_at;
ALTER INDEX ticketfeed.kept_answer_by_time RENAME TO idempotent_answer_by_time;
