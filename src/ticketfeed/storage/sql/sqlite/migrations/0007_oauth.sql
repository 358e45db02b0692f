-- OAuth clients, tokens and authorization codes. Secrets are stored as hashes, with the few first characters that are
-- shown. Lists are texts, separated by spaces.
CREATE TABLE oauth_client (
    account_id     INTEGER NOT NULL,
    id             INTEGER NOT NULL,
    identifier     TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('public', 'confidential', 'unknown')),
    name           TEXT NOT NULL,
    user_id        INTEGER NOT NULL,
    secret_hash    TEXT,
    secret_start   TEXT NOT NULL,
    redirect_uris  TEXT NOT NULL,
    allowed_scopes TEXT,
    company        TEXT,
    description    TEXT,
    logo_url       TEXT,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX oauth_client_by_identifier ON oauth_client (account_id, identifier);

-- An access token, with its refresh token if it has one. `ended_at`: when it was revoked or replaced. `family`: the id
-- of the token that it was renewed from, over all renewals.
CREATE TABLE oauth_token (
    account_id         INTEGER NOT NULL,
    id                 INTEGER NOT NULL,
    family             INTEGER NOT NULL,
    client_id          INTEGER NOT NULL,
    user_id            INTEGER NOT NULL,
    scopes             TEXT NOT NULL,
    access_hash        TEXT NOT NULL,
    access_start       TEXT NOT NULL,
    refresh_hash       TEXT,
    refresh_start      TEXT,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER,
    refresh_expires_at INTEGER,
    ended_at           INTEGER,
    keep_until         INTEGER,
    used_at            INTEGER,
    PRIMARY KEY (account_id, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX oauth_token_by_access ON oauth_token (account_id, access_hash);
CREATE UNIQUE INDEX oauth_token_by_refresh ON oauth_token (account_id, refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX oauth_token_by_family ON oauth_token (account_id, family);
CREATE INDEX oauth_token_by_client ON oauth_token (account_id, client_id);
CREATE INDEX oauth_token_by_end ON oauth_token (account_id, keep_until) WHERE keep_until IS NOT NULL;

-- `token_id`: the token that the code was exchanged for.
CREATE TABLE oauth_code (
    account_id       INTEGER NOT NULL,
    code_hash        TEXT NOT NULL,
    client_id        INTEGER NOT NULL,
    user_id          INTEGER NOT NULL,
    scopes           TEXT NOT NULL,
    redirect_uri     TEXT NOT NULL,
    challenge        TEXT,
    challenge_method TEXT,
    expires_at       INTEGER NOT NULL,
    token_id         INTEGER,
    PRIMARY KEY (account_id, code_hash)
) WITHOUT ROWID;

-- Of API tokens: what they are for, and when they were last used, reactivated or created, to the day.
ALTER TABLE credential ADD COLUMN description TEXT;
ALTER TABLE credential ADD COLUMN used_at INTEGER;
