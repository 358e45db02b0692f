-- The queries of the SQLite store. Time is always a parameter.

-- name: list_accounts
SELECT account_id, subdomain FROM account ORDER BY account_id

-- name: create_account
INSERT INTO account (subdomain) VALUES (:subdomain) ON CONFLICT (subdomain) DO NOTHING

-- name: find_account
SELECT account_id FROM account WHERE subdomain = :subdomain

-- name: read_fenced_at
SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'fenced_at'

-- name: write_fenced_at
UPDATE meta SET value = max(CAST(value AS INTEGER), :fenced_at) WHERE name = 'fenced_at'

-- name: create_feed_state
INSERT INTO feed_state (account_id, watermark, record_watermark)
VALUES (:account_id, :watermark, :watermark) ON CONFLICT (account_id) DO NOTHING

-- name: read_state
SELECT last_generated_timestamp, watermark, ticket_count, invalidations, record_changes
FROM feed_state WHERE account_id = :account_id

-- name: read_states
SELECT last_generated_timestamp, watermark, ticket_count, invalidations, record_changes,
       record_last_timestamp, record_watermark
FROM feed_state
WHERE account_id = :account_id

-- name: read_record_state
SELECT record_last_timestamp, record_watermark FROM feed_state WHERE account_id = :account_id

-- name: write_state
UPDATE feed_state
SET last_generated_timestamp = :last_generated_timestamp, watermark = :watermark, ticket_count = :ticket_count,
    invalidations = :invalidations, record_changes = :record_changes,
    record_last_timestamp = :record_last_timestamp, record_watermark = :record_watermark
WHERE account_id = :account_id

-- name: read_changes
SELECT generated_timestamp, id, body
FROM ticket
WHERE account_id = :account_id
  AND (generated_timestamp, id) > (:after_timestamp, :after_id)
  AND generated_timestamp <= :until
  AND (NOT :exclude_deleted OR status <> 'deleted')
  AND CASE :scope
        WHEN 'agent' THEN support_type IS NOT 'ai_agent'
        WHEN 'ai_agent' THEN support_type IS 'ai_agent'
        ELSE TRUE
      END
ORDER BY generated_timestamp, id
LIMIT :limit

-- name: find_ticket
SELECT generated_timestamp, id FROM ticket WHERE account_id = ? AND id = ?

-- name: find_tickets
SELECT generated_timestamp, id FROM ticket
WHERE account_id = :account_id AND id IN (SELECT value FROM json_each(:ids))

-- name: make_given
CREATE TEMP TABLE IF NOT EXISTS given (id INTEGER PRIMARY KEY, generated_timestamp INTEGER NOT NULL)

-- name: forget_given
DELETE FROM temp.given

-- name: find_given
SELECT id, generated_timestamp FROM temp.given WHERE id IN (SELECT value FROM json_each(?))

-- name: note_given
INSERT OR REPLACE INTO temp.given (id, generated_timestamp) VALUES (?, ?)

-- name: delete_ticket
DELETE FROM ticket WHERE account_id = ? AND generated_timestamp = ? AND id = ?

-- name: insert_ticket
INSERT INTO ticket (account_id, generated_timestamp, id, status, support_type, external_id,
                    user_ids, group_id, organization_id, problem_id,
                    ticket_form_id, brand_id, custom_status_id, agreement_ids, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_invalidation
INSERT INTO invalidation (account_id, number, generated_timestamp, id) VALUES (?, ?, ?, ?)

-- name: forget_invalidations
DELETE FROM invalidation WHERE account_id = ? AND number <= ?

-- name: read_invalidations
SELECT state.last_generated_timestamp, state.watermark, state.ticket_count, state.invalidations, state.record_changes,
       invalidation.generated_timestamp, invalidation.id
FROM feed_state AS state
LEFT JOIN invalidation ON invalidation.account_id = state.account_id AND invalidation.number > :since
WHERE state.account_id = :account_id

-- name: put_record
INSERT INTO record (account_id, kind, id, generated_timestamp, ticket_id, comment_count, email,
                    external_id, is_deleted, body, metric_state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, kind, id)
DO UPDATE SET generated_timestamp = excluded.generated_timestamp, ticket_id = excluded.ticket_id,
              comment_count = excluded.comment_count, email = excluded.email, external_id = excluded.external_id,
              is_deleted = excluded.is_deleted, body = excluded.body, metric_state = excluded.metric_state

-- name: read_records
SELECT id, body FROM record
WHERE account_id = :account_id AND kind = :kind AND id IN (SELECT value FROM json_each(:ids))
ORDER BY id

-- name: read_record_changes
SELECT generated_timestamp, id, body
FROM record
WHERE account_id = :account_id AND kind = :kind
  AND (generated_timestamp, id) > (:after_timestamp, :after_id)
  AND generated_timestamp <= :until
ORDER BY generated_timestamp, id
LIMIT :limit

-- name: read_tickets
SELECT generated_timestamp, id, body, user_ids, group_id, organization_id, agreement_ids, ticket_form_id, brand_id,
       custom_status_id, status
FROM ticket
WHERE account_id = :account_id AND id IN (SELECT value FROM json_each(:ids))
ORDER BY id

-- name: list_tickets
SELECT /* key */, id, body
FROM ticket
WHERE account_id = :account_id AND /* filters */
  AND (/* key */, id) > (:after_key, :after_id)
ORDER BY /* key */ ASC, id ASC
LIMIT :limit OFFSET :offset

-- name: count_listed_tickets
SELECT count(*) FROM ticket WHERE account_id = :account_id AND /* filters */

-- name: list_records
SELECT id, id, body
FROM record
WHERE account_id = :account_id AND kind = :kind AND is_deleted = 0 AND id > :after_id
ORDER BY id ASC
LIMIT :limit OFFSET :offset

-- name: count_records
SELECT count(*) FROM record WHERE account_id = :account_id AND kind = :kind AND is_deleted = 0

-- name: list_records_of_ticket
SELECT id, id, body
FROM record
WHERE account_id = :account_id AND kind = :kind AND ticket_id = :ticket_id AND id > :after_id
ORDER BY id ASC
LIMIT :limit OFFSET :offset

-- name: count_records_of_ticket
SELECT count(*) FROM record WHERE account_id = :account_id AND kind = :kind AND ticket_id = :ticket_id

-- name: read_of_tickets
SELECT ticket_id, id, body
FROM record
WHERE account_id = :account_id AND kind = :kind AND ticket_id IN (SELECT value FROM json_each(:ids))
ORDER BY ticket_id, id

-- name: count_comments
SELECT ticket_id, sum(comment_count)
FROM record
WHERE account_id = :account_id AND kind = 'audits' AND ticket_id IN (SELECT value FROM json_each(:ids))
GROUP BY ticket_id

-- name: count_incidents
SELECT problem_id, count(*)
FROM ticket
WHERE account_id = :account_id AND problem_id IN (SELECT value FROM json_each(:ids)) AND status <> 'deleted'
GROUP BY problem_id

-- name: find_user
SELECT body FROM record WHERE account_id = :account_id AND email = :email AND kind = 'users'
ORDER BY is_deleted, id LIMIT 1

-- name: find_ticket_bodies
SELECT id, body FROM ticket WHERE account_id = :account_id AND id IN (SELECT value FROM json_each(:ids))

-- name: list_aged
SELECT generated_timestamp, id FROM ticket
WHERE account_id = :account_id AND status IN ('solved', 'deleted') AND status = :status
  AND (generated_timestamp, id) > (:after_timestamp, :after_id) AND generated_timestamp <= :until
ORDER BY generated_timestamp, id
LIMIT :limit

-- name: find_metric_state
SELECT (SELECT metric_state FROM record
        WHERE account_id = :account_id AND kind = 'ticket_metrics' AND id = :ticket_id),
       (SELECT count(*) FROM record
        WHERE account_id = :account_id AND kind = 'audits' AND ticket_id = :ticket_id)

-- name: find_external
SELECT body FROM record
WHERE account_id = :account_id AND kind = :kind AND external_id = :external_id
ORDER BY is_deleted, id LIMIT 1

-- name: next_ticket_id
SELECT coalesce(max(id), 0) + 1 FROM ticket WHERE account_id = :account_id

-- name: next_record_id
SELECT coalesce(max(id), 0) + 1 FROM record WHERE account_id = :account_id AND kind = :kind

-- name: find_idempotent_answer
SELECT fingerprint, stored_at, status, location, body FROM idempotent_answer
WHERE account_id = :account_id AND key = :key AND stored_at > :since

-- name: put_idempotent_answer
INSERT INTO idempotent_answer (account_id, key, fingerprint, stored_at, status, location, body)
VALUES (:account_id, :key, :fingerprint, :stored_at, :status, :location, :body)
ON CONFLICT (account_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, stored_at = excluded.stored_at, status = excluded.status,
    location = excluded.location, body = excluded.body

-- name: forget_answers
DELETE FROM idempotent_answer WHERE account_id = :account_id AND stored_at <= :since

-- name: add_job
INSERT INTO job (account_id, id, action, actor_id, created_at, total, finished_at)
VALUES (:account_id, :id, :action, :actor_id, :created_at, :total, :finished_at)

-- name: add_job_item
INSERT INTO job_item (account_id, job_id, number, item)
VALUES (:account_id, :job_id, :number, :item)

-- name: next_item
SELECT job.id, job.action, job.actor_id, job.created_at, job.total, job.finished_at, job_item.number, job_item.item
FROM job AS job
JOIN job_item AS job_item ON job_item.account_id = job.account_id AND job_item.job_id = job.id
WHERE job.account_id = :account_id AND job.id = :job_id AND job_item.result IS NULL
ORDER BY job_item.number LIMIT 1

-- name: put_result
UPDATE job_item SET result = :result
WHERE account_id = :account_id AND job_id = :job_id AND number = :number

-- name: finish_job
UPDATE job SET finished_at = :finished_at WHERE account_id = :account_id AND id = :job_id

-- name: list_open_jobs
SELECT id FROM job WHERE account_id = :account_id AND finished_at IS NULL ORDER BY created_at, id

-- name: list_job_ids
SELECT id FROM job WHERE account_id = :account_id ORDER BY created_at DESC, id LIMIT 100

-- name: read_jobs
SELECT id, action, actor_id, created_at, total, finished_at FROM job
WHERE account_id = :account_id AND id IN (SELECT value FROM json_each(:ids))
ORDER BY created_at DESC, id

-- name: read_results
SELECT job_id, result FROM job_item
WHERE account_id = :account_id AND job_id IN (SELECT value FROM json_each(:ids)) AND result IS NOT NULL
ORDER BY job_id, number

-- name: find_credential
SELECT credential.secret_hash, record.body
FROM credential
JOIN record ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id AND credential.id = :id AND credential.revoked_at IS NULL

-- name: find_token_user
SELECT credential.id, record.body
FROM credential
JOIN record ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id
  AND credential.secret_hash = :secret_hash AND credential.kind = 'api_token' AND credential.revoked_at IS NULL

-- name: find_passwords
SELECT credential.id, credential.secret_hash, record.body
FROM record
JOIN credential ON credential.account_id = record.account_id AND credential.user_id = record.id
WHERE record.account_id = :account_id AND record.kind = 'users' AND record.email = :email
  AND credential.kind = 'password' AND credential.revoked_at IS NULL
ORDER BY credential.id

-- name: list_credentials
SELECT credential.id, credential.user_id, coalesce(record.email, ''), credential.kind,
       credential.created_at, credential.revoked_at
FROM credential
LEFT JOIN record ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id
ORDER BY credential.id

-- name: next_credential_id
SELECT coalesce(max(id), 0) + 1 FROM credential WHERE account_id = :account_id

-- name: find_secret
SELECT id FROM credential WHERE account_id = :account_id AND secret_hash = :secret_hash AND revoked_at IS NULL

-- name: add_credential
INSERT INTO credential (account_id, id, user_id, kind, secret_hash, created_at)
VALUES (:account_id, :id, :user_id, :kind, :secret_hash, :created_at)

-- name: revoke_credential
UPDATE credential SET revoked_at = :revoked_at
WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL

-- name: make_beside
CREATE TABLE IF NOT EXISTS request_window (
    account_id INTEGER NOT NULL,
    name       TEXT NOT NULL,
    started    INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumer (
    account_id INTEGER NOT NULL,
    key        TEXT NOT NULL,
    last_at    REAL NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (account_id, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request (
    number     INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS request_of_account ON request (account_id, number)

-- name: read_windows
SELECT name, started, used FROM request_window WHERE account_id = :account_id

-- name: write_window
INSERT OR REPLACE INTO request_window (account_id, name, started, used) VALUES (?, ?, ?, ?)

-- name: read_consumer
SELECT body FROM consumer WHERE account_id = :account_id AND key = :key

-- name: read_consumers
SELECT body FROM consumer WHERE account_id = :account_id ORDER BY last_at DESC, key

-- name: list_consumers
SELECT key, last_at FROM consumer WHERE account_id = :account_id

-- name: write_consumer
INSERT OR REPLACE INTO consumer (account_id, key, last_at, body) VALUES (?, ?, ?, ?)

-- name: forget_consumer
DELETE FROM consumer WHERE account_id = :account_id AND key = :key

-- name: put_request
INSERT INTO request (account_id, body) VALUES (?, ?)

-- name: read_requests
SELECT body FROM request WHERE account_id = :account_id ORDER BY number DESC

-- name: forget_requests
DELETE FROM request WHERE account_id = :account_id AND number <= (
    SELECT number FROM request WHERE account_id = :account_id ORDER BY number DESC LIMIT 1 OFFSET :keep
)

-- name: count_changes
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM ticket
    WHERE account_id = :account_id
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND (generated_timestamp, id) <= (:until_timestamp, :until_id)
      AND (NOT :exclude_deleted OR status <> 'deleted')
      AND CASE :scope
            WHEN 'agent' THEN support_type IS NOT 'ai_agent'
            WHEN 'ai_agent' THEN support_type IS 'ai_agent'
            ELSE TRUE
          END
    ORDER BY generated_timestamp, id LIMIT :limit
)

-- name: count_record_changes
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM record
    WHERE account_id = :account_id AND kind = :kind
      AND (generated_timestamp, id) > (:after_timestamp, :after_id)
      AND (generated_timestamp, id) <= (:until_timestamp, :until_id)
    ORDER BY generated_timestamp, id LIMIT :limit
)

-- name: count_by_time
SELECT generated_timestamp / :seconds * :seconds, count(*)
FROM ticket INDEXED BY ticket_by_id
WHERE account_id = :account_id AND generated_timestamp >= :since
GROUP BY 1 ORDER BY 1

-- name: journal_mode
PRAGMA journal_mode

-- name: size_bytes
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()

-- name: walk_accounts
SELECT account.account_id, account.subdomain,
       feed_state.last_generated_timestamp, feed_state.watermark, feed_state.ticket_count, feed_state.invalidations,
       feed_state.record_changes
FROM account
LEFT JOIN feed_state ON feed_state.account_id = account.account_id
ORDER BY account.account_id

-- name: walk_tickets
SELECT generated_timestamp, id, status, support_type, external_id, user_ids, group_id, organization_id, problem_id,
       ticket_form_id, brand_id, custom_status_id, agreement_ids, body
FROM ticket
WHERE account_id = :account_id
ORDER BY generated_timestamp, id

-- name: walk_positions_by_id
SELECT generated_timestamp, id FROM ticket INDEXED BY ticket_by_id WHERE account_id = :account_id ORDER BY id

-- name: walk_records
SELECT kind, id, generated_timestamp, ticket_id, comment_count, email, external_id, is_deleted, body, metric_state
FROM record WHERE account_id = :account_id ORDER BY kind, id

-- name: walk_dangling_credentials
SELECT credential.id, credential.user_id
FROM credential
LEFT JOIN record ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = :account_id AND record.id IS NULL
ORDER BY credential.id

-- name: walk_orphans
SELECT 'feed_state', account_id, count(*) FROM feed_state
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'ticket', account_id, count(*) FROM ticket
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'invalidation', account_id, count(*) FROM invalidation
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'record', account_id, count(*) FROM record
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'job', account_id, count(*) FROM job
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'job_item', account_id, count(*) FROM job_item
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'idempotent_answer', account_id, count(*) FROM idempotent_answer
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id
UNION ALL
SELECT 'credential', account_id, count(*) FROM credential
WHERE account_id NOT IN (SELECT account_id FROM account) GROUP BY account_id

-- name: check_pages
PRAGMA integrity_check(100)

-- name: check_schema
SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name

-- name: check_migrations
SELECT number, name FROM migration ORDER BY number
