-- What a metric set is computed from, so that a change of a ticket reads no earlier audit; null where it is not known.
ALTER TABLE ticketfeed.record ADD COLUMN metric_state bytea;
