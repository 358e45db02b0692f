-- The invalidation log and the idempotency answers, by the names that the code has for them.
ALTER TABLE departure RENAME TO invalidation;
ALTER TABLE feed_state RENAME COLUMN departures TO invalidations;
ALTER TABLE kept_answer RENAME TO idempotent_answer;
ALTER TABLE idempotent_answer RENAME COLUMN kept_at TO stored_at;
DROP INDEX kept_answer_by_time;
CREATE INDEX idempotent_answer_by_time ON idempotent_answer (account_id, stored_at);
