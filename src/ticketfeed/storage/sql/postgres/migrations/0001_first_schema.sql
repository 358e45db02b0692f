-- Every key starts with account_id, so that the same schema is sharded by it unchanged. All of it lives in a
-- schema of its own, so that a database can be shared and nobody else's tables are ever taken for ours.
CREATE TABLE ticketfeed.meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- The newest watermark that a fence has set: an account made later, but perhaps not for the first time, starts there.
INSERT INTO ticketfeed.meta (name, value) VALUES ('fenced_at', '0');

-- Written only when an account is made: small, and the same everywhere.
CREATE TABLE ticketfeed.account (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subdomain  text NOT NULL UNIQUE
);

-- The account row: locked first by every write. Tickets are one feed; users, audits and all other records another,
-- with a newest second and a watermark of its own.
CREATE TABLE ticketfeed.feed_state (
    account_id               bigint PRIMARY KEY,
    last_generated_timestamp bigint NOT NULL DEFAULT 0,
    watermark                bigint NOT NULL DEFAULT 0,
    ticket_count             bigint NOT NULL DEFAULT 0,
    departures               bigint NOT NULL DEFAULT 0,
    record_changes           bigint NOT NULL DEFAULT 0,
    record_last_timestamp    bigint NOT NULL DEFAULT 0,
    record_watermark         bigint NOT NULL DEFAULT 0
);

CREATE TABLE ticketfeed.ticket (
    account_id          bigint NOT NULL,
    generated_timestamp bigint NOT NULL,
    id                  bigint NOT NULL,
    status              text NOT NULL,
    support_type        text,
    external_id         text,
    user_ids            bytea NOT NULL,
    group_id            bigint,
    organization_id     bigint,
    problem_id          bigint,
    ticket_form_id      bigint,
    brand_id            bigint,
    custom_status_id    bigint,
    agreement_ids       bytea,
    body                bytea NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX ticket_feed ON ticketfeed.ticket (account_id, generated_timestamp, id);
CREATE INDEX ticket_by_problem ON ticketfeed.ticket (account_id, problem_id) WHERE problem_id IS NOT NULL;
CREATE INDEX ticket_deleted ON ticketfeed.ticket (account_id, id) WHERE status = 'deleted';
-- What time alone will change: solved tickets are closed, deleted ones are scrubbed.
CREATE INDEX ticket_ageing ON ticketfeed.ticket (account_id, status, generated_timestamp, id)
WHERE status IN ('solved', 'deleted');

-- A body stays whole and uncompressed beside its columns as long as it fits a page: a quarter of the time to read.
ALTER TABLE ticketfeed.ticket ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE ticketfeed.ticket SET (toast_tuple_target = 8160);

-- The newest places that tickets have left, numbered by feed_state.departures: who keeps pages in memory learns from
-- them which have changed.
CREATE TABLE ticketfeed.departure (
    account_id          bigint NOT NULL,
    number              bigint NOT NULL,
    generated_timestamp bigint NOT NULL,
    id                  bigint NOT NULL,
    PRIMARY KEY (account_id, number)
);

CREATE TABLE ticketfeed.record (
    account_id          bigint NOT NULL,
    kind                text NOT NULL,
    id                  bigint NOT NULL,
    generated_timestamp bigint NOT NULL,
    ticket_id           bigint,
    comment_count       integer,
    email               text,
    external_id         text,
    is_deleted          smallint NOT NULL DEFAULT 0,
    body                bytea NOT NULL,
    PRIMARY KEY (account_id, kind, id)
);

CREATE INDEX record_feed ON ticketfeed.record (account_id, kind, generated_timestamp, id);
CREATE INDEX record_by_ticket ON ticketfeed.record (account_id, kind, ticket_id, id)
INCLUDE (comment_count) WHERE ticket_id IS NOT NULL;
CREATE INDEX record_by_email ON ticketfeed.record (account_id, email) WHERE email IS NOT NULL;
CREATE INDEX record_by_external_id ON ticketfeed.record (account_id, kind, external_id) WHERE external_id IS NOT NULL;

-- Background jobs: what was asked for, item by item, and what came of it.
CREATE TABLE ticketfeed.job (
    account_id  bigint NOT NULL,
    id          text NOT NULL,
    action      text NOT NULL,
    actor_id    bigint NOT NULL,
    created_at  bigint NOT NULL,
    total       bigint NOT NULL,
    finished_at bigint,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX job_by_time ON ticketfeed.job (account_id, created_at);
CREATE INDEX job_open ON ticketfeed.job (account_id, created_at) WHERE finished_at IS NULL;

CREATE TABLE ticketfeed.job_item (
    account_id bigint NOT NULL,
    job_id     text NOT NULL,
    number     bigint NOT NULL,
    item       bytea NOT NULL,
    result     bytea,
    PRIMARY KEY (account_id, job_id, number)
);

-- What was answered to requests with an Idempotency-Key.
CREATE TABLE ticketfeed.kept_answer (
    account_id  bigint NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    kept_at     bigint NOT NULL,
    status      bigint NOT NULL,
    location    text,
    body        bytea NOT NULL,
    PRIMARY KEY (account_id, key)
);

CREATE INDEX kept_answer_by_time ON ticketfeed.kept_answer (account_id, kept_at);

-- secret_hash: SHA-256 of an API token, or argon2 of a password.
CREATE TABLE ticketfeed.credential (
    account_id  bigint NOT NULL,
    id          bigint NOT NULL,
    user_id     bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('api_token', 'password')),
    secret_hash text NOT NULL,
    created_at  bigint NOT NULL,
    revoked_at  bigint,
    PRIMARY KEY (account_id, id)
);

CREATE UNIQUE INDEX credential_by_secret ON ticketfeed.credential (account_id, secret_hash) WHERE revoked_at IS NULL;

-- Requests counted for rate limits: worth a minute at most, so a crash may lose them.
CREATE UNLOGGED TABLE ticketfeed.request_window (
    account_id bigint NOT NULL,
    name       text NOT NULL,
    started    bigint NOT NULL DEFAULT 0,
    used       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, name)
);

-- Who reads from here, and the newest requests: told to whoever looks, and noted anew after a crash.
CREATE UNLOGGED TABLE ticketfeed.consumer (
    account_id bigint NOT NULL,
    key        text NOT NULL,
    last_at    double precision NOT NULL DEFAULT 0,
    body       bytea,
    PRIMARY KEY (account_id, key)
);

CREATE UNLOGGED TABLE ticketfeed.request (
    account_id bigint NOT NULL,
    number     bigint GENERATED ALWAYS AS IDENTITY,
    body       bytea NOT NULL,
    PRIMARY KEY (account_id, number)
);
