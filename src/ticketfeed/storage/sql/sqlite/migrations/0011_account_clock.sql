-- Clocks of accounts that were moved. `frozen_at`: the time at which one stands.
CREATE TABLE account_clock (
    account_id     INTEGER PRIMARY KEY,
    offset_seconds INTEGER NOT NULL,
    frozen_at      INTEGER
);
