-- Satisfaction ratings are found by their ticket, as audits are: they are erased with it.
UPDATE record SET ticket_id = json_extract(CAST(body AS TEXT), '$.ticket_id') WHERE kind = 'satisfaction_ratings';
