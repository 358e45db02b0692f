-- Satisfaction ratings are found by their ticket, as audits are: they are erased with it.
UPDATE ticketfeed.record SET ticket_id = (convert_from(body, 'UTF8')::json ->> 'ticket_id')::bigint
WHERE kind = 'satisfaction_ratings';
