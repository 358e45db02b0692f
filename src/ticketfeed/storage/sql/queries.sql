-- The queries that both engines run, in the forms that storage/queries.py translates. Rules, so that they also run where
-- the tables are distributed by account_id (Citus): each names the account_id of every table in it, or those of some
-- accounts, except account, meta and migration; time is a parameter; a write is an INSERT of values, an UPDATE or a DELETE,
-- none of them a CTE.

-- Accounts and their rows in feed_state.

-- name: list_accounts
-- Every account but those that were saved; the table is small, and the same on every node.
SELECT {row} FROM ticketfeed.account WHERE subdomain NOT LIKE '%@%' ORDER BY account_id LIMIT :limit

-- name: find_account
-- The account of this name.
SELECT {row} FROM ticketfeed.account WHERE subdomain = :subdomain

-- name: find_default_account
-- The account of hosts that name none: the one that was chosen, else the first.
SELECT {row} FROM ticketfeed.account WHERE subdomain NOT LIKE '%@%'
ORDER BY subdomain = (SELECT coalesce(max(value), '') FROM ticketfeed.meta WHERE name = 'default_account') DESC, account_id
LIMIT 1

-- name: put_default_account
-- Choose it.
INSERT INTO ticketfeed.meta (name, value) VALUES ('default_account', :subdomain)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: list_saved
-- What was saved of an account: accounts of their own, whose names begin with its own.
SELECT account.account_id, account.subdomain, meta.value
FROM ticketfeed.account JOIN ticketfeed.meta ON meta.name = 'saved_' || CAST(account.account_id AS text)
WHERE account.subdomain LIKE :pattern
ORDER BY account.account_id

-- name: put_meta
-- Store what the store as a whole has under a name: when an account was saved, and whether the one that it was made of has
-- the same rows up to there; or, in a file of one account, its consumers.
INSERT INTO ticketfeed.meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: forget_meta
-- Delete that.
DELETE FROM ticketfeed.meta WHERE name = :name

-- name: delete_account
-- Delete an account, whose rows are deleted.
DELETE FROM ticketfeed.account WHERE account_id = :account_id

-- name: rename_account
-- Give an account another name: that of one that nobody sees, or its own.
UPDATE ticketfeed.account SET subdomain = :subdomain WHERE account_id = :account_id

-- name: forget_default_account
-- Choose no account, if it is this one.
DELETE FROM ticketfeed.meta WHERE name = 'default_account' AND value = :subdomain

-- name: put_erased_account_id
-- Note the id of an account that is erased, where the engine would use it again (SQLite).
UPDATE ticketfeed.meta SET value = CAST(:account_id AS text)
WHERE name = 'erased_account_id' AND CAST(value AS bigint) < :account_id

-- name: read_meta
-- What the store as a whole has under a name.
SELECT value FROM ticketfeed.meta WHERE name = :name

-- name: list_some_rows
-- Some tickets, then some records.
SELECT kind, id FROM (
    SELECT 'tickets' AS kind, id FROM (
        SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id LIMIT :limit
    ) AS some_tickets
    UNION ALL
    SELECT kind, id FROM (
        SELECT kind, id FROM ticketfeed.record WHERE account_id = :account_id LIMIT :limit
    ) AS some_records
) AS found

-- name: list_ticket_ids_after
-- Tickets that were changed after a second, in any order: a sort by id would not use the index of the feed.
SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id AND generated_timestamp > :after

-- name: list_record_ids_after
-- The same of records of one kind.
SELECT id FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND generated_timestamp > :after

-- name: count_erasures
-- How many writes have erased.
SELECT coalesce(max(CAST(value AS bigint)), 0) FROM ticketfeed.meta WHERE name = 'erasures'

-- name: add_erasure
-- Count one more.
INSERT INTO ticketfeed.meta (name, value) VALUES ('erasures', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(ticketfeed.meta.value AS bigint) + 1 AS text)

-- name: read_rewound_at
-- The second that an account was brought back to from the future; its name holds the account's id.
SELECT CAST(value AS bigint) FROM ticketfeed.meta WHERE name = :name

-- name: put_rewound_at
-- Store it; the earliest one stays.
INSERT INTO ticketfeed.meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING

-- name: list_clocks
-- The clocks of accounts that differ from the machine's.
SELECT account_id, offset_seconds, frozen_at FROM ticketfeed.account_clock
WHERE offset_seconds <> 0 OR frozen_at IS NOT NULL

-- name: find_clock
-- The clock of an account, if it was ever moved.
SELECT {row} FROM ticketfeed.account_clock WHERE account_id = :account_id

-- name: put_clock
-- Store the clock of an account, whose row is locked.
INSERT INTO ticketfeed.account_clock (account_id, offset_seconds, frozen_at)
VALUES (:account_id, :offset_seconds, :frozen_at)
ON CONFLICT (account_id) DO UPDATE SET offset_seconds = excluded.offset_seconds, frozen_at = excluded.frozen_at

-- name: create_state
-- Add an account's row. Both watermarks begin at the newest fence: the account may have existed before a restore.
INSERT INTO ticketfeed.feed_state (account_id, watermark, record_watermark)
VALUES (:account_id, :watermark, :watermark)
ON CONFLICT (account_id) DO NOTHING

-- name: read_state
-- The account's row, without locking it.
SELECT {row} FROM ticketfeed.feed_state WHERE account_id = :account_id

-- name: list_states
-- The rows of all accounts.
SELECT account_id, {row} FROM ticketfeed.feed_state

-- name: write_state
-- Store the account's row, which the transaction has locked.
UPDATE ticketfeed.feed_state
SET last_generated_timestamp = :last_generated_timestamp,
    watermark = :watermark,
    ticket_count = :ticket_count,
    invalidations = :invalidations,
    record_changes = :record_changes,
    record_last_timestamp = :record_last_timestamp,
    record_watermark = :record_watermark,
    is_mirror = :is_mirror
WHERE account_id = :account_id

-- name: read_freeze
-- Until when writes of the account are refused.
SELECT frozen_until FROM ticketfeed.feed_state WHERE account_id = :account_id

-- name: write_freeze
-- Store that of an account whose row is locked.
UPDATE ticketfeed.feed_state SET frozen_until = :frozen_until WHERE account_id = :account_id

-- Accounts that are mirrors.

-- name: list_mirrors
-- All of them.
SELECT account_id, body FROM ticketfeed.mirror ORDER BY account_id

-- name: find_mirror
-- What is stored of one.
SELECT body FROM ticketfeed.mirror WHERE account_id = :account_id

-- name: put_mirror
-- Store one, whose account's row is locked.
INSERT INTO ticketfeed.mirror (account_id, body) VALUES (:account_id, :body)
ON CONFLICT (account_id) DO UPDATE SET body = excluded.body

-- name: find_kind_states
-- The feeds of single kinds of records of a mirror.
SELECT kind, last_generated_timestamp, watermark FROM ticketfeed.kind_state WHERE account_id = :account_id

-- name: put_kind_state
-- Store one.
INSERT INTO ticketfeed.kind_state (account_id, kind, last_generated_timestamp, watermark)
VALUES (:account_id, :kind, :last_generated_timestamp, :watermark)
ON CONFLICT (account_id, kind) DO UPDATE
SET last_generated_timestamp = excluded.last_generated_timestamp, watermark = excluded.watermark

-- name: list_record_ids
-- The records of one kind that are not deleted, up to an id.
SELECT id FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND is_deleted = 0 AND id <= :id_max
ORDER BY id

-- name: remove_tickets
-- Delete tickets as if they had never been.
DELETE FROM ticketfeed.ticket WHERE account_id = :account_id AND id = ANY (:ids)

-- name: remove_records
-- Delete records as if they had never been.
DELETE FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND id = ANY (:ids)

-- Tickets and records in a write.

-- name: find_positions
-- Where tickets are in the feed, before they are written.
SELECT {row} FROM ticketfeed.ticket WHERE account_id = :account_id AND id = ANY (:ids)

-- name: find_tickets
-- The bodies of tickets, deleted ones included.
SELECT {row} FROM ticketfeed.ticket WHERE account_id = :account_id AND id = ANY (:ids)

-- name: find_tickets_after
-- Tickets after a position, whole.
SELECT {row} FROM ticketfeed.ticket
WHERE account_id = :account_id AND (generated_timestamp, id) > (:after_timestamp, :after_id)
ORDER BY generated_timestamp, id LIMIT :limit

-- name: find_records_after
-- Records of a kind after a position, whole.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND (generated_timestamp, id) > (:after_timestamp, :after_id)
ORDER BY generated_timestamp, id LIMIT :limit

-- name: find_user
-- The user with this email. Deleted ones come last.
SELECT body FROM ticketfeed.record
WHERE account_id = :account_id AND email = :email AND kind = 'users'
ORDER BY is_deleted, id LIMIT 1

-- name: find_external
-- The user or organization with this external_id. Deleted ones come last.
SELECT body FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND external_id = :external_id
ORDER BY is_deleted, id LIMIT 1

-- name: find_metric_state
-- What the metric set of a ticket was computed from.
SELECT metric_state FROM ticketfeed.record
WHERE account_id = :account_id AND kind = 'ticket_metrics' AND id = :ticket_id

-- name: find_metric_states
-- The same of several tickets.
SELECT id, metric_state FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND id = ANY (:ids)

-- name: max_ticket_id
-- The largest id of a ticket that is no larger than id_max.
SELECT coalesce(max(id), 0) FROM ticketfeed.ticket WHERE account_id = :account_id AND id <= :id_max

-- name: max_record_id
-- The largest id of a record of this kind that is no larger than id_max.
SELECT coalesce(max(id), 0) FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND id <= :id_max

-- name: forget_invalidations
-- Delete the oldest entries of the invalidation log.
DELETE FROM ticketfeed.invalidation WHERE account_id = :account_id AND number <= :forgotten

-- name: clear_written
-- Empty the table of start_written, which an earlier load may have used.
DELETE FROM written_ticket

-- name: find_written
-- Which of these tickets an earlier batch of the same write has stored, and what second their input carried. The table is
-- temporary: start_written makes it.
SELECT id, generated_timestamp FROM written_ticket WHERE id = ANY (:ids)

-- Reads of a feed and of lists. The pages themselves are in sqlite.sql and postgres.sql, lists in list_query.py.

-- name: read_invalidations
-- The account's row together with the newest entries of the invalidation log, or with nulls where there are none.
SELECT {state.StateRow}, invalidation.generated_timestamp, invalidation.id
FROM ticketfeed.feed_state AS state
LEFT JOIN ticketfeed.invalidation ON invalidation.account_id = state.account_id AND invalidation.number > :since
WHERE state.account_id = :account_id

-- name: read_tickets
-- Tickets by id, deleted ones included.
SELECT {row} FROM ticketfeed.ticket WHERE account_id = :account_id AND id = ANY (:ids) ORDER BY id

-- name: read_records
-- Records of one kind by id, deleted ones included.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND id = ANY (:ids)
ORDER BY id

-- name: read_external
-- Users or organizations by external_id, without deleted ones.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND external_id = ANY (:external_ids) AND is_deleted = 0
ORDER BY id

-- name: read_by_key
-- Organizations by name, identities by value, metric sets by their own id, without deleted ones.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND lookup_key = ANY (:keys) AND is_deleted = 0
ORDER BY id

-- name: find_all
-- The records of one kind that are not deleted.
SELECT {row} FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND is_deleted = 0 ORDER BY id

-- name: read_of_tickets
-- All audits or metric events of these tickets.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND ticket_id = ANY (:ids)
ORDER BY ticket_id, id

-- name: read_of_users
-- The memberships or identities of some users, by id.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND user_id = ANY (:ids) AND is_deleted = 0
ORDER BY id

-- name: find_of_user
-- The memberships or identities of one user.
SELECT body FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND user_id = :user_id AND is_deleted = ANY (:states)
ORDER BY id

-- name: find_of_organization
-- The users or memberships of one organization.
SELECT body FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND organization_id = :organization_id AND is_deleted = 0
ORDER BY id

-- name: find_users_without_membership
-- Users that are no members of the organization that they name.
SELECT body FROM ticketfeed.record AS person
WHERE person.account_id = :account_id AND person.kind = 'users' AND person.organization_id IS NOT NULL
  AND person.is_deleted = 0 AND person.id > :after_id
  AND NOT EXISTS (
    SELECT 1 FROM ticketfeed.record AS membership
    WHERE membership.account_id = :account_id AND membership.kind = 'organization_memberships'
      AND membership.user_id = person.id AND membership.organization_id = person.organization_id
      AND membership.is_deleted = 0
  )
ORDER BY person.id LIMIT :limit

-- name: find_repeated_memberships
-- Organization memberships that were derived from their user and that another one repeats.
SELECT body FROM ticketfeed.record AS derived
WHERE derived.account_id = :account_id AND derived.kind = 'organization_memberships' AND derived.user_id = derived.id
  AND derived.is_deleted = 0
  AND EXISTS (
    SELECT 1 FROM ticketfeed.record AS membership
    WHERE membership.account_id = :account_id AND membership.kind = 'organization_memberships'
      AND membership.user_id = derived.user_id AND membership.organization_id = derived.organization_id
      AND membership.is_deleted = 0 AND membership.id <> derived.id
  )
ORDER BY derived.id LIMIT :limit

-- name: count_records_of_ticket
-- How many audits or metric events one ticket has.
SELECT count(*) FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND ticket_id = :ticket_id

-- name: count_comments
-- How many comments tickets have: the index record_by_ticket holds the counts.
SELECT ticket_id, sum(comment_count) FROM ticketfeed.record
WHERE account_id = :account_id AND kind = 'audits' AND ticket_id = ANY (:ids)
GROUP BY ticket_id

-- name: count_incidents
-- How many incidents problems have, deleted ones aside.
SELECT problem_id, count(*) FROM ticketfeed.ticket
WHERE account_id = :account_id AND problem_id = ANY (:ids) AND status <> 'deleted'
GROUP BY problem_id

-- name: list_aged
-- Solved or deleted tickets that have not changed since :until; of deleted ones those that are not known to be scrubbed.
-- What is known was found up to an earlier :until: if it is later than this one, a clock or a rule was changed. The first
-- condition lets the partial index ticket_ageing serve this, whatever :status is.
SELECT {row} FROM ticketfeed.ticket
WHERE account_id = :account_id AND status IN ('solved', 'deleted') AND status = :status
  AND generated_timestamp > (
    SELECT CASE WHEN :status = 'deleted' AND scrubbed_until <= :until THEN scrubbed_until ELSE -1 END
    FROM ticketfeed.feed_state WHERE account_id = :account_id
  )
  AND (generated_timestamp, id) > (:after_timestamp, :after_id) AND generated_timestamp <= :until
ORDER BY generated_timestamp, id LIMIT :limit

-- name: write_scrubbed
-- Note until when all tickets of an account that were deleted are scrubbed.
UPDATE ticketfeed.feed_state SET scrubbed_until = :until WHERE account_id = :account_id

-- What is due, of many accounts at once: of each a range of an index.

-- name: find_expired
-- Accounts with idempotency answers, or finished jobs, whose time is over.
SELECT account_id FROM ticketfeed.idempotent_answer WHERE account_id = ANY (:ids) AND stored_at <= :until
UNION
SELECT account_id FROM ticketfeed.job WHERE account_id = ANY (:ids) AND created_at <= :until AND finished_at <= :until

-- name: find_aged
-- Accounts in which list_aged finds tickets. The tickets of a mirror change when its source changes them.
SELECT DISTINCT state.account_id
FROM ticketfeed.feed_state AS state
JOIN ticketfeed.ticket AS ticket ON ticket.account_id = state.account_id
WHERE state.account_id = ANY (:ids) AND state.is_mirror = 0
  AND ticket.status IN ('solved', 'deleted') AND ticket.status = :status
  AND ticket.generated_timestamp > (
    CASE WHEN :status = 'deleted' AND state.scrubbed_until <= :until THEN state.scrubbed_until ELSE -1 END
  )
  AND ticket.generated_timestamp <= :until

-- name: find_open_jobs
-- The jobs that are not finished, oldest first.
SELECT account_id, id FROM ticketfeed.job
WHERE account_id = ANY (:ids) AND finished_at IS NULL AND created_at <= :until
ORDER BY created_at, id

-- name: find_sizes
-- The rows of accounts, with what was measured of them last.
SELECT state.account_id, {state.StateRow}, {size.row}
FROM ticketfeed.feed_state AS state
LEFT JOIN ticketfeed.account_size AS size ON size.account_id = state.account_id
WHERE state.account_id = ANY (:ids)

-- name: find_full
-- Accounts that have reached their quotas.
SELECT quota.account_id
FROM ticketfeed.account_quota AS quota
JOIN ticketfeed.feed_state AS state ON state.account_id = quota.account_id
LEFT JOIN ticketfeed.account_size AS size ON size.account_id = quota.account_id
WHERE quota.account_id = ANY (:ids)
  AND (state.ticket_count >= quota.tickets_max OR size.ticket_bytes + size.record_bytes >= quota.bytes_max)

-- name: list_full
-- The same of all accounts.
SELECT quota.account_id
FROM ticketfeed.account_quota AS quota
JOIN ticketfeed.feed_state AS state ON state.account_id = quota.account_id
LEFT JOIN ticketfeed.account_size AS size ON size.account_id = quota.account_id
WHERE state.ticket_count >= quota.tickets_max OR size.ticket_bytes + size.record_bytes >= quota.bytes_max

-- The search index: what fills it, and what of a record is still to be removed from it. Its own statements are in
-- sqlite.sql and postgres.sql, searches in search_query.py.

-- name: find_record_rows
-- Whole rows of records, before they are written.
SELECT {row} FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND id = ANY (:ids)

-- name: scan_tickets_after
-- Tickets in feed order, after a position.
SELECT generated_timestamp, id, status, body FROM ticketfeed.ticket
WHERE account_id = :account_id AND (generated_timestamp, id) > (:after_timestamp, :after_id)
ORDER BY generated_timestamp, id LIMIT :limit

-- name: scan_records_after
-- Whole rows of records of one kind, after an id.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND id > :after_id
ORDER BY id LIMIT :limit

-- name: read_search_index_version
-- What the index was filled with.
SELECT value FROM ticketfeed.meta WHERE name = 'search_index_version'

-- name: write_search_index_version
-- The index is filled.
UPDATE ticketfeed.meta SET value = :value WHERE name = 'search_index_version'

-- Idempotency answers.

-- name: find_idempotent_answer
-- What was answered to a request with this Idempotency-Key.
SELECT {row} FROM ticketfeed.idempotent_answer
WHERE account_id = :account_id AND key = :key AND stored_at > :since

-- name: put_idempotent_answer
-- Store what is answered.
INSERT INTO ticketfeed.idempotent_answer (account_id, key, fingerprint, stored_at, status, location, body)
VALUES (:account_id, :key, :fingerprint, :stored_at, :status, :location, :body)
ON CONFLICT (account_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, stored_at = excluded.stored_at, status = excluded.status,
    location = excluded.location, body = excluded.body

-- name: forget_answers
-- Delete answers whose time is over.
DELETE FROM ticketfeed.idempotent_answer WHERE account_id = :account_id AND stored_at <= :since

-- name: read_answers
-- The bodies of all answers.
SELECT key, body FROM ticketfeed.idempotent_answer WHERE account_id = :account_id

-- name: write_answer
-- Replace the body of an answer.
UPDATE ticketfeed.idempotent_answer SET body = :body WHERE account_id = :account_id AND key = :key

-- Background jobs.

-- name: add_job
-- Store a new job.
INSERT INTO ticketfeed.job (account_id, id, action, actor_id, created_at, total, finished_at)
VALUES (:account_id, :id, :action, :actor_id, :created_at, :total, :finished_at)

-- name: add_job_item
-- Store one item of a new job.
INSERT INTO ticketfeed.job_item (account_id, job_id, number, item) VALUES (:account_id, :job_id, :number, :item)

-- name: find_job
-- One job.
SELECT {row} FROM ticketfeed.job WHERE account_id = :account_id AND id = :job_id

-- name: next_item
-- The first item of a job that has no result.
SELECT number, item FROM ticketfeed.job_item
WHERE account_id = :account_id AND job_id = :job_id AND result IS NULL
ORDER BY number LIMIT 1

-- name: put_result
-- Store the result of one item, and what is left of the item.
UPDATE ticketfeed.job_item SET result = :result, item = :item
WHERE account_id = :account_id AND job_id = :job_id AND number = :number

-- name: finish_job
-- Mark a job as finished.
UPDATE ticketfeed.job SET finished_at = :finished_at WHERE account_id = :account_id AND id = :job_id

-- name: read_all_results
-- The results of all items that are done.
SELECT job_id, number, result FROM ticketfeed.job_item WHERE account_id = :account_id AND result IS NOT NULL

-- name: delete_items
-- Delete the items of jobs that finished some time ago.
DELETE FROM ticketfeed.job_item WHERE account_id = :account_id AND job_id IN (
    SELECT id FROM ticketfeed.job WHERE account_id = :account_id AND finished_at <= :since
)

-- name: delete_jobs
-- Delete these jobs.
DELETE FROM ticketfeed.job WHERE account_id = :account_id AND finished_at <= :since

-- name: list_open_jobs
-- The jobs that are not finished, oldest first.
SELECT id FROM ticketfeed.job WHERE account_id = :account_id AND finished_at IS NULL ORDER BY created_at, id

-- name: list_job_ids
-- The newest jobs.
SELECT id FROM ticketfeed.job WHERE account_id = :account_id ORDER BY created_at DESC, id LIMIT 100

-- name: read_jobs
-- Jobs by id, newest first.
SELECT {row} FROM ticketfeed.job WHERE account_id = :account_id AND id = ANY (:ids) ORDER BY created_at DESC, id

-- name: read_results
-- The results of jobs, item by item.
SELECT job_id, result FROM ticketfeed.job_item
WHERE account_id = :account_id AND job_id = ANY (:ids) AND result IS NOT NULL
ORDER BY job_id, number

-- Credentials. One without its user cannot be used, so all but list_credentials join the user.

-- name: find_credential
-- A credential by its id, unless revoked.
SELECT credential.id, credential.secret_hash, record.body, credential.used_at
FROM ticketfeed.credential
JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id AND credential.id = :id AND credential.revoked_at IS NULL

-- name: find_token
-- An API token by its hash, unless revoked.
SELECT credential.id, credential.secret_hash, record.body, credential.used_at
FROM ticketfeed.credential
JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id
  AND credential.secret_hash = :secret_hash AND credential.kind = 'api_token' AND credential.revoked_at IS NULL

-- name: find_passwords
-- The passwords of the users with this email, unless revoked.
SELECT credential.id, credential.secret_hash, record.body, credential.used_at
FROM ticketfeed.record
JOIN ticketfeed.credential ON credential.account_id = record.account_id AND credential.user_id = record.id
WHERE record.account_id = :account_id AND record.kind = 'users' AND record.email = :email
  AND credential.kind = 'password' AND credential.revoked_at IS NULL
ORDER BY credential.id

-- name: list_credentials
-- Every credential with its user's email, or an empty one where the user or the email is missing.
SELECT credential.id, credential.user_id, coalesce(record.email, ''), credential.kind,
       credential.created_at, credential.revoked_at, credential.used_at, credential.description
FROM ticketfeed.credential
LEFT JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id
ORDER BY credential.id

-- name: find_secret
-- Whether this hash is in use.
SELECT id FROM ticketfeed.credential
WHERE account_id = :account_id AND secret_hash = :secret_hash AND revoked_at IS NULL

-- name: next_credential_id
-- One more than the largest id of a credential.
SELECT coalesce(max(id), 0) + 1 FROM ticketfeed.credential WHERE account_id = :account_id

-- name: add_credential
-- Store a new credential.
INSERT INTO ticketfeed.credential (account_id, id, user_id, kind, secret_hash, created_at, used_at, description)
VALUES (:account_id, :id, :user_id, :kind, :secret_hash, :created_at, :created_at, :description)

-- name: use_credential
-- Store when a credential was used.
UPDATE ticketfeed.credential SET used_at = :used_at WHERE account_id = :account_id AND id = :id

-- name: revoke_credential
-- Revoke a credential that is in force.
UPDATE ticketfeed.credential SET revoked_at = :revoked_at
WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL

-- OAuth: clients, tokens and authorization codes.

-- name: find_access_token
-- An access token by its hash, unless it was ended.
SELECT oauth_token.id, oauth_token.client_id, oauth_token.scopes, oauth_token.expires_at, oauth_token.used_at,
       oauth_client.allowed_scopes, record.body
FROM ticketfeed.oauth_token
JOIN ticketfeed.oauth_client
  ON oauth_client.account_id = oauth_token.account_id AND oauth_client.id = oauth_token.client_id
JOIN ticketfeed.record
  ON record.account_id = oauth_token.account_id AND record.kind = 'users' AND record.id = oauth_token.user_id
WHERE oauth_token.account_id = :account_id
  AND oauth_token.access_hash = :access_hash AND oauth_token.ended_at IS NULL

-- name: find_client
-- A client by its identifier.
SELECT {row} FROM ticketfeed.oauth_client WHERE account_id = :account_id AND identifier = :identifier

-- name: find_client_by_id
-- A client by its id.
SELECT {row} FROM ticketfeed.oauth_client WHERE account_id = :account_id AND id = :id

-- name: list_clients
-- Every client.
SELECT {row} FROM ticketfeed.oauth_client WHERE account_id = :account_id ORDER BY id

-- name: delete_client
-- Delete a client. Its tokens and codes are deleted before.
DELETE FROM ticketfeed.oauth_client WHERE account_id = :account_id AND id = :id

-- name: delete_tokens_of_client
-- Delete the tokens of a client.
DELETE FROM ticketfeed.oauth_token WHERE account_id = :account_id AND client_id = :id

-- name: delete_codes_of_client
-- Delete the authorization codes of a client.
DELETE FROM ticketfeed.oauth_code WHERE account_id = :account_id AND client_id = :id

-- name: max_oauth_id
-- The largest id of a client or token; 0 if there is none.
SELECT coalesce(max(id), 0) FROM (
    SELECT max(id) AS id FROM ticketfeed.oauth_client WHERE account_id = :account_id
    UNION ALL SELECT max(id) FROM ticketfeed.oauth_token WHERE account_id = :account_id
) AS largest

-- name: list_tokens
-- Every token that was not ended.
SELECT {row} FROM ticketfeed.oauth_token WHERE account_id = :account_id AND ended_at IS NULL ORDER BY id

-- name: find_oauth_token
-- A token by its id, ended or not.
SELECT {row} FROM ticketfeed.oauth_token WHERE account_id = :account_id AND id = :id

-- name: find_refresh_token
-- A token by the hash of its refresh token, ended or not.
SELECT {row} FROM ticketfeed.oauth_token WHERE account_id = :account_id AND refresh_hash = :refresh_hash

-- name: end_token
-- End a token that has not ended. One without an end of its own is then forgotten, too.
UPDATE ticketfeed.oauth_token SET ended_at = :ended_at, keep_until = coalesce(keep_until, :keep_until)
WHERE account_id = :account_id AND id = :id AND ended_at IS NULL

-- name: end_family
-- The same for all tokens of a family.
UPDATE ticketfeed.oauth_token SET ended_at = :ended_at, keep_until = coalesce(keep_until, :keep_until)
WHERE account_id = :account_id AND family = :family AND ended_at IS NULL

-- name: use_token
-- Store when a token was used.
UPDATE ticketfeed.oauth_token SET used_at = :used_at WHERE account_id = :account_id AND id = :id

-- name: forget_tokens
-- Delete tokens that can be forgotten.
DELETE FROM ticketfeed.oauth_token WHERE account_id = :account_id AND keep_until <= :now

-- name: forget_codes
-- Delete authorization codes that can be forgotten.
DELETE FROM ticketfeed.oauth_code WHERE account_id = :account_id AND expires_at <= :until

-- name: find_code
-- An authorization code by its hash, used or not.
SELECT {row} FROM ticketfeed.oauth_code WHERE account_id = :account_id AND code_hash = :code_hash

-- name: use_code
-- Store which token a code was exchanged for.
UPDATE ticketfeed.oauth_code SET token_id = :token_id WHERE account_id = :account_id AND code_hash = :code_hash

-- The sidecar: rate limits, consumers, recent requests. A row is added first, then locked, changed and written back in one
-- transaction, so that processes that do the same at once wait for each other.

-- name: add_window
-- Add an unused rate-limit window, unless there is one.
INSERT INTO ticketfeed.request_window (account_id, name, started, used) VALUES (:account_id, :name, 0, 0)
ON CONFLICT (account_id, name) DO NOTHING

-- name: write_window
-- Store how much of a window is used.
UPDATE ticketfeed.request_window SET started = :started, used = :used
WHERE account_id = :account_id AND name = :name

-- name: add_consumer
-- Add a consumer without a body, unless there is one.
INSERT INTO ticketfeed.consumer (account_id, key, last_at, body) VALUES (:account_id, :key, 0, :body)
ON CONFLICT (account_id, key) DO NOTHING

-- name: write_consumer
-- Store what is known of a consumer.
UPDATE ticketfeed.consumer SET last_at = :last_at, body = :body WHERE account_id = :account_id AND key = :key

-- name: list_consumers
-- Every consumer, and when it was last seen.
SELECT key, last_at FROM ticketfeed.consumer WHERE account_id = :account_id

-- name: read_consumers
-- Every consumer, last seen first.
SELECT body FROM ticketfeed.consumer WHERE account_id = :account_id ORDER BY last_at DESC, key

-- name: read_all_consumers
-- The same of all accounts.
SELECT account_id, body FROM ticketfeed.consumer ORDER BY account_id, last_at DESC, key

-- name: forget_consumers
-- Delete consumers.
DELETE FROM ticketfeed.consumer WHERE account_id = :account_id AND key = ANY (:keys)

-- name: add_request
-- Store a recent request; its number is made by the engine.
INSERT INTO ticketfeed.request (account_id, body) VALUES (:account_id, :body)

-- name: add_anonymous_request
-- Store a recent request of nobody who is known.
INSERT INTO ticketfeed.anonymous_request (account_id, body) VALUES (:account_id, :body)

-- name: read_requests
-- The newest requests, and the newest of nobody who is known.
SELECT body FROM (
    SELECT body FROM ticketfeed.request WHERE account_id = :account_id ORDER BY number DESC LIMIT :keep
) AS known
UNION ALL
SELECT body FROM (
    SELECT body FROM ticketfeed.anonymous_request WHERE account_id = :account_id ORDER BY number DESC LIMIT :keep
) AS anonymous

-- name: forget_requests
-- Delete all but the newest requests.
DELETE FROM ticketfeed.request WHERE account_id = :account_id AND number <= (
    SELECT number FROM ticketfeed.request WHERE account_id = :account_id ORDER BY number DESC LIMIT 1 OFFSET :keep
)

-- name: forget_anonymous_requests
-- Delete all but the newest requests of nobody who is known.
DELETE FROM ticketfeed.anonymous_request WHERE account_id = :account_id AND number <= (
    SELECT number FROM ticketfeed.anonymous_request
    WHERE account_id = :account_id ORDER BY number DESC LIMIT 1 OFFSET :keep
)

-- name: erase_requests
-- Delete all recent requests.
DELETE FROM ticketfeed.request WHERE account_id = :account_id

-- name: erase_anonymous_requests
-- Delete all recent requests of nobody who is known.
DELETE FROM ticketfeed.anonymous_request WHERE account_id = :account_id

-- name: erase_consumers
-- Delete all consumers.
DELETE FROM ticketfeed.consumer WHERE account_id = :account_id

-- name: erase_windows
-- Delete all rate-limit windows.
DELETE FROM ticketfeed.request_window WHERE account_id = :account_id

-- name: erase_logins
-- Delete all logins.
DELETE FROM ticketfeed.login WHERE account_id = :account_id

-- name: add_login
-- Store a login.
INSERT INTO ticketfeed.login (account_id, token_hash, ends_at) VALUES (:account_id, :token_hash, :ends_at)

-- name: forget_logins
-- Delete logins whose time is over, and all but the newest.
DELETE FROM ticketfeed.login WHERE account_id = :account_id AND (ends_at <= :now OR ends_at <= (
    SELECT ends_at FROM ticketfeed.login WHERE account_id = :account_id ORDER BY ends_at DESC LIMIT 1 OFFSET :keep
))

-- name: find_login
-- Whether a login is in force.
SELECT ends_at FROM ticketfeed.login
WHERE account_id = :account_id AND token_hash = :token_hash AND ends_at > :now

-- name: end_login
-- Delete a login.
DELETE FROM ticketfeed.login WHERE account_id = :account_id AND token_hash = :token_hash

-- name: end_lease
-- Give a lease back.
DELETE FROM ticketfeed.lease WHERE name = :name AND owner = :owner

-- name: read_full_accounts
-- The accounts that have reached their quotas, as the holder of the lease has found them.
SELECT account_id FROM ticketfeed.full_account

-- name: add_full_account
-- Store one.
INSERT INTO ticketfeed.full_account (account_id) VALUES (:account_id) ON CONFLICT (account_id) DO NOTHING

-- name: forget_full_accounts
-- Delete those that have not.
DELETE FROM ticketfeed.full_account WHERE account_id = ANY (:ids)

-- Scans of everything, for the integrity check.

-- name: scan_tickets
-- Every ticket in feed order, by the index that pages use.
SELECT {row} FROM ticketfeed.ticket WHERE account_id = :account_id ORDER BY generated_timestamp, id

-- name: scan_records
-- Every record.
SELECT {row} FROM ticketfeed.record WHERE account_id = :account_id ORDER BY kind, id

-- name: scan_large_ticket_ids
-- The ids of tickets beyond id_max.
SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id AND id > :id_max ORDER BY id

-- name: scan_large_record_ids
-- The ids of records of this kind beyond id_max.
SELECT id FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind AND id > :id_max ORDER BY id

-- name: scan_dangling_credentials
-- Credentials whose user is missing.
SELECT credential.id, credential.user_id
FROM ticketfeed.credential
LEFT JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id AND record.id IS NULL
ORDER BY credential.id

-- name: scan_dangling_oauth
-- OAuth tokens whose client or user is missing, and clients whose user is.
SELECT 'token', oauth_token.id, 'client', oauth_token.client_id
FROM ticketfeed.oauth_token
LEFT JOIN ticketfeed.oauth_client
  ON oauth_client.account_id = oauth_token.account_id AND oauth_client.id = oauth_token.client_id
WHERE oauth_token.account_id = :account_id AND oauth_client.id IS NULL
UNION ALL
SELECT 'token', oauth_token.id, 'user', oauth_token.user_id
FROM ticketfeed.oauth_token
LEFT JOIN ticketfeed.record
  ON record.account_id = oauth_token.account_id AND record.kind = 'users' AND record.id = oauth_token.user_id
WHERE oauth_token.account_id = :account_id AND record.id IS NULL
UNION ALL
SELECT 'client', oauth_client.id, 'user', oauth_client.user_id
FROM ticketfeed.oauth_client
LEFT JOIN ticketfeed.record
  ON record.account_id = oauth_client.account_id AND record.kind = 'users' AND record.id = oauth_client.user_id
WHERE oauth_client.account_id = :account_id AND record.id IS NULL

-- name: count_changes
-- How many tickets a range of the feed holds, up to :limit, and the second of the first.
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM ticketfeed.ticket
    WHERE account_id = :account_id
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND (generated_timestamp, id) <= (:until_timestamp, :until_id)
      AND (NOT :exclude_deleted OR status <> 'deleted')
      AND CASE :scope
            WHEN 'agent' THEN support_type IS DISTINCT FROM 'ai_agent'
            WHEN 'ai_agent' THEN support_type = 'ai_agent'
            ELSE TRUE
          END
    ORDER BY generated_timestamp, id LIMIT :limit
) AS pending

-- name: count_record_changes
-- How many records of one kind a range of their feed holds, up to :limit, and the second of the first.
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM ticketfeed.record
    WHERE account_id = :account_id AND kind = :kind
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND (generated_timestamp, id) <= (:until_timestamp, :until_id)
    ORDER BY generated_timestamp, id LIMIT :limit
) AS pending

-- name: read_additive
-- The numbers of the applied migrations that a release may lack.
SELECT value FROM ticketfeed.meta WHERE name = 'additive_migrations'

-- name: write_additive
-- Store them.
INSERT INTO ticketfeed.meta (name, value) VALUES ('additive_migrations', :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: measure_tickets
-- The tickets of an account, and the bytes of their bodies.
SELECT count(*), coalesce(sum(length(body)), 0) FROM ticketfeed.ticket WHERE account_id = :account_id

-- name: measure_records
-- The same of its records.
SELECT count(*), coalesce(sum(length(body)), 0) FROM ticketfeed.record WHERE account_id = :account_id

-- name: list_sizes
-- What was measured, of all accounts.
SELECT account_id, {row} FROM ticketfeed.account_size

-- name: find_size
-- What was measured of one.
SELECT {row} FROM ticketfeed.account_size WHERE account_id = :account_id

-- name: put_size
-- Store what was measured of one.
INSERT INTO ticketfeed.account_size (account_id, tickets, ticket_bytes, records, record_bytes, measured_at)
VALUES (:account_id, :tickets, :ticket_bytes, :records, :record_bytes, :measured_at)
ON CONFLICT (account_id) DO UPDATE SET tickets = excluded.tickets, ticket_bytes = excluded.ticket_bytes,
    records = excluded.records, record_bytes = excluded.record_bytes, measured_at = excluded.measured_at

-- name: list_quotas
-- The quotas of all accounts that have one.
SELECT account_id, {row} FROM ticketfeed.account_quota

-- name: find_quota
-- The quota of one.
SELECT {row} FROM ticketfeed.account_quota WHERE account_id = :account_id

-- name: put_quota
-- Store the quota of one.
INSERT INTO ticketfeed.account_quota (account_id, tickets_max, bytes_max)
VALUES (:account_id, :tickets_max, :bytes_max)
ON CONFLICT (account_id) DO UPDATE SET tickets_max = excluded.tickets_max, bytes_max = excluded.bytes_max

-- name: count_rows
-- How many tickets an account has, and how many records of each kind.
SELECT 'tickets' AS kind, count(*) FROM ticketfeed.ticket WHERE account_id = :account_id
UNION ALL
SELECT kind, count(*) FROM ticketfeed.record WHERE account_id = :account_id GROUP BY kind

-- name: list_kind_ids
-- The ids of all tickets, or of all records of a kind.
SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id AND :kind = 'tickets'
UNION ALL
SELECT id FROM ticketfeed.record WHERE account_id = :account_id AND kind = :kind

-- name: scan_changed_tickets
-- Tickets that were changed after a second.
SELECT {row} FROM ticketfeed.ticket
WHERE account_id = :account_id AND generated_timestamp > :after ORDER BY generated_timestamp, id

-- name: scan_changed_records
-- Records of a kind that were.
SELECT {row} FROM ticketfeed.record
WHERE account_id = :account_id AND kind = :kind AND generated_timestamp > :after ORDER BY generated_timestamp, id

-- name: list_migrations
-- The migrations that are recorded as applied.
SELECT number, name FROM ticketfeed.migration ORDER BY number
