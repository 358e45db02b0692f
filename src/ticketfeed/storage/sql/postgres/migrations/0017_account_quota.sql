-- Additive: nothing else refers to the table, and an older release holds no account to its quota.
-- How much an account may hold: tickets, and bytes of the bodies of its tickets and records. NULL: any number.
CREATE TABLE ticketfeed.account_quota (
    account_id  bigint PRIMARY KEY,
    tickets_max bigint,
    bytes_max   bigint
);
