-- Who is signed in to the dashboard. A crash of the server signs everybody out.
CREATE UNLOGGED TABLE ticketfeed.login (
    account_id bigint NOT NULL,
    token_hash text NOT NULL,
    ends_at    bigint NOT NULL,
    PRIMARY KEY (account_id, token_hash)
);
