-- The newest requests without credentials, or with wrong ones: apart, so that they push out no others.
CREATE UNLOGGED TABLE ticketfeed.anonymous_request (
    account_id bigint NOT NULL,
    number     bigint GENERATED ALWAYS AS IDENTITY,
    body       bytea NOT NULL,
    PRIMARY KEY (account_id, number)
);
