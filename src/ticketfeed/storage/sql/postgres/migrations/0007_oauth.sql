-- OAuth clients, tokens and authorization codes. Secrets are stored as hashes, with the few first characters that are
-- shown. Lists are texts, separated by spaces.
CREATE TABLE ticketfeed.oauth_client (
    account_id     bigint NOT NULL,
    id             bigint NOT NULL,
    identifier     text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('public', 'confidential', 'unknown')),
    name           text NOT NULL,
    user_id        bigint NOT NULL,
    secret_hash    text,
    secret_start   text NOT NULL,
    redirect_uris  text NOT NULL,
    allowed_scopes text,
    company        text,
    description    text,
    logo_url       text,
    created_at     bigint NOT NULL,
    updated_at     bigint NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE UNIQUE INDEX oauth_client_by_identifier ON ticketfeed.oauth_client (account_id, identifier);

-- An access token, with its refresh token if it has one. `ended_at`: when it was revoked or replaced. `family`: the id
-- of the token that it was renewed from, over all renewals.
CREATE TABLE ticketfeed.oauth_token (
    account_id         bigint NOT NULL,
    id                 bigint NOT NULL,
    family             bigint NOT NULL,
    client_id          bigint NOT NULL,
    user_id            bigint NOT NULL,
    scopes             text NOT NULL,
    access_hash        text NOT NULL,
    access_start       text NOT NULL,
    refresh_hash       text,
    refresh_start      text,
    created_at         bigint NOT NULL,
    expires_at         bigint,
    refresh_expires_at bigint,
    ended_at           bigint,
    keep_until         bigint,
    used_at            bigint,
    PRIMARY KEY (account_id, id)
);

CREATE UNIQUE INDEX oauth_token_by_access ON ticketfeed.oauth_token (account_id, access_hash);
CREATE UNIQUE INDEX oauth_token_by_refresh ON ticketfeed.oauth_token (account_id, refresh_hash)
WHERE refresh_hash IS NOT NULL;
CREATE INDEX oauth_token_by_family ON ticketfeed.oauth_token (account_id, family);
CREATE INDEX oauth_token_by_client ON ticketfeed.oauth_token (account_id, client_id);
CREATE INDEX oauth_token_by_end ON ticketfeed.oauth_token (account_id, keep_until) WHERE keep_until IS NOT NULL;

-- `token_id`: the token that the code was exchanged for.
CREATE TABLE ticketfeed.oauth_code (
    account_id       bigint NOT NULL,
    code_hash        text NOT NULL,
    client_id        bigint NOT NULL,
    user_id          bigint NOT NULL,
    scopes           text NOT NULL,
    redirect_uri     text NOT NULL,
    challenge        text,
    challenge_method text,
    expires_at       bigint NOT NULL,
    token_id         bigint,
    PRIMARY KEY (account_id, code_hash)
);

-- Of API tokens: what they are for, and when they were last used, reactivated or created, to the day.
ALTER TABLE ticketfeed.credential ADD COLUMN description text;
ALTER TABLE ticketfeed.credential ADD COLUMN used_at bigint;
