-- Every key starts with account_id. Tickets are clustered in feed order, so that a page is one range read.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The newest watermark that a fence has set: an account made later, but perhaps not for the first time, starts there.
INSERT INTO meta (name, value) VALUES ('fenced_at', '0');

-- Written only when an account is made.
CREATE TABLE account (
    account_id INTEGER PRIMARY KEY,
    subdomain  TEXT NOT NULL UNIQUE
);

-- The account row: locked first by every write. Tickets are one feed; users, audits and all other records another,
-- with a newest second and a watermark of its own.
CREATE TABLE feed_state (
    account_id               INTEGER PRIMARY KEY,
    last_generated_timestamp INTEGER NOT NULL DEFAULT 0,
    watermark                INTEGER NOT NULL DEFAULT 0,
    ticket_count             INTEGER NOT NULL DEFAULT 0,
    departures               INTEGER NOT NULL DEFAULT 0,
    record_changes           INTEGER NOT NULL DEFAULT 0,
    record_last_timestamp    INTEGER NOT NULL DEFAULT 0,
    record_watermark         INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE ticket (
    account_id          INTEGER NOT NULL,
    generated_timestamp INTEGER NOT NULL,
    id                  INTEGER NOT NULL,
    status              TEXT NOT NULL,
    support_type        TEXT,
    external_id         TEXT,
    user_ids            BLOB NOT NULL,
    group_id            INTEGER,
    organization_id     INTEGER,
    problem_id          INTEGER,
    ticket_form_id      INTEGER,
    brand_id            INTEGER,
    custom_status_id    INTEGER,
    agreement_ids       BLOB,
    body                BLOB NOT NULL,
    PRIMARY KEY (account_id, generated_timestamp, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX ticket_by_id ON ticket (account_id, id);
CREATE INDEX ticket_by_problem ON ticket (account_id, problem_id) WHERE problem_id IS NOT NULL;
CREATE INDEX ticket_deleted ON ticket (account_id, id) WHERE status = 'deleted';
-- What time alone will change: solved tickets are closed, deleted ones are scrubbed.
CREATE INDEX ticket_ageing ON ticket (account_id, status, generated_timestamp, id)
WHERE status IN ('solved', 'deleted');

-- The newest places that tickets have left, numbered by feed_state.departures: who keeps pages in memory learns from
-- them which have changed.
CREATE TABLE departure (
    account_id          INTEGER NOT NULL,
    number              INTEGER NOT NULL,
    generated_timestamp INTEGER NOT NULL,
    id                  INTEGER NOT NULL,
    PRIMARY KEY (account_id, number)
) WITHOUT ROWID;

CREATE TABLE record (
    account_id          INTEGER NOT NULL,
    kind                TEXT NOT NULL,
    id                  INTEGER NOT NULL,
    generated_timestamp INTEGER NOT NULL,
    ticket_id           INTEGER,
    comment_count       INTEGER,
    email               TEXT,
    external_id         TEXT,
    is_deleted          INTEGER NOT NULL DEFAULT 0,
    body                BLOB NOT NULL,
    PRIMARY KEY (account_id, kind, id)
) WITHOUT ROWID;

CREATE INDEX record_feed ON record (account_id, kind, generated_timestamp, id);
CREATE INDEX record_by_ticket ON record (account_id, kind, ticket_id, id, comment_count) WHERE ticket_id IS NOT NULL;
CREATE INDEX record_by_email ON record (account_id, email) WHERE email IS NOT NULL;
CREATE INDEX record_by_external_id ON record (account_id, kind, external_id) WHERE external_id IS NOT NULL;

-- Background jobs: what was asked for, item by item, and what came of it.
CREATE TABLE job (
    account_id  INTEGER NOT NULL,
    id          TEXT NOT NULL,
    action      TEXT NOT NULL,
    actor_id    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    finished_at INTEGER,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;

CREATE INDEX job_by_time ON job (account_id, created_at);
CREATE INDEX job_open ON job (account_id, created_at) WHERE finished_at IS NULL;

CREATE TABLE job_item (
    account_id INTEGER NOT NULL,
    job_id     TEXT NOT NULL,
    number     INTEGER NOT NULL,
    item       BLOB NOT NULL,
    result     BLOB,
    PRIMARY KEY (account_id, job_id, number)
) WITHOUT ROWID;

-- What was answered to requests with an Idempotency-Key.
CREATE TABLE kept_answer (
    account_id  INTEGER NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kept_at     INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    location    TEXT,
    body        BLOB NOT NULL,
    PRIMARY KEY (account_id, key)
) WITHOUT ROWID;

CREATE INDEX kept_answer_by_time ON kept_answer (account_id, kept_at);

-- secret_hash: SHA-256 of an API token, or argon2 of a password.
CREATE TABLE credential (
    account_id  INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('api_token', 'password')),
    secret_hash TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX credential_by_secret ON credential (account_id, secret_hash) WHERE revoked_at IS NULL;
