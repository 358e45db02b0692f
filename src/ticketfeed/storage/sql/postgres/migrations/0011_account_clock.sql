-- Clocks of accounts that were moved. `frozen_at`: the time at which one stands.
CREATE TABLE ticketfeed.account_clock (
    account_id     bigint PRIMARY KEY,
    offset_seconds bigint NOT NULL,
    frozen_at      bigint
);
