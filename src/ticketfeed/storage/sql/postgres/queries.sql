-- The queries of the PostgreSQL store. Every one but those on account and meta names its account_id; time is always
-- a parameter. They run unchanged where the tables are distributed by account_id.

-- name: list_accounts
SELECT account_id, subdomain FROM ticketfeed.account ORDER BY account_id

-- name: create_account
INSERT INTO ticketfeed.account (subdomain) VALUES (%(subdomain)s) ON CONFLICT (subdomain) DO NOTHING

-- name: find_account
SELECT account_id FROM ticketfeed.account WHERE subdomain = %(subdomain)s

-- name: read_fenced_at
SELECT value::bigint FROM ticketfeed.meta WHERE name = 'fenced_at' FOR SHARE

-- name: write_fenced_at
UPDATE ticketfeed.meta SET value = greatest(value::bigint, %(fenced_at)s)::text WHERE name = 'fenced_at'

-- name: create_feed_state
INSERT INTO ticketfeed.feed_state (account_id, watermark, record_watermark)
VALUES (%(account_id)s, %(watermark)s, %(watermark)s)
ON CONFLICT (account_id) DO NOTHING

-- name: read_state
SELECT last_generated_timestamp, watermark, ticket_count, invalidations, record_changes
FROM ticketfeed.feed_state
WHERE account_id = %(account_id)s

-- name: read_record_state
SELECT record_last_timestamp, record_watermark
FROM ticketfeed.feed_state
WHERE account_id = %(account_id)s

-- name: lock_state
SELECT last_generated_timestamp, watermark, ticket_count, invalidations, record_changes,
       record_last_timestamp, record_watermark
FROM ticketfeed.feed_state
WHERE account_id = %(account_id)s
FOR UPDATE

-- name: write_state
UPDATE ticketfeed.feed_state
SET last_generated_timestamp = %(last_generated_timestamp)s,
    watermark = %(watermark)s,
    ticket_count = %(ticket_count)s,
    invalidations = %(invalidations)s,
    record_changes = %(record_changes)s,
    record_last_timestamp = %(record_last_timestamp)s,
    record_watermark = %(record_watermark)s
WHERE account_id = %(account_id)s

-- name: read_changes
SELECT change.generated_timestamp, change.id, change.body,
       state.last_generated_timestamp, state.watermark, state.ticket_count, state.invalidations, state.record_changes
FROM ticketfeed.feed_state AS state
LEFT JOIN LATERAL (
    SELECT generated_timestamp, id, body
    FROM ticketfeed.ticket
    WHERE account_id = %(account_id)s
      AND (generated_timestamp, id) > (%(after_timestamp)s, %(after_id)s)
      AND generated_timestamp <= least(%(until)s, state.watermark)
      AND (NOT %(exclude_deleted)s OR status <> 'deleted')
      AND CASE %(scope)s
            WHEN 'agent' THEN support_type IS DISTINCT FROM 'ai_agent'
            WHEN 'ai_agent' THEN support_type IS NOT DISTINCT FROM 'ai_agent'
            ELSE TRUE
          END
    ORDER BY generated_timestamp, id
    LIMIT %(limit)s
) AS change ON TRUE
WHERE state.account_id = %(account_id)s

-- name: make_given
CREATE TEMPORARY TABLE given (id bigint PRIMARY KEY, generated_timestamp bigint NOT NULL) ON COMMIT DROP

-- name: find_given
SELECT id, generated_timestamp FROM pg_temp.given WHERE id = ANY(%(ids)s)

-- name: note_given
INSERT INTO pg_temp.given (id, generated_timestamp) VALUES (%s, %s)
ON CONFLICT (id) DO UPDATE SET generated_timestamp = excluded.generated_timestamp

-- name: find_tickets
SELECT generated_timestamp, id FROM ticketfeed.ticket WHERE account_id = %(account_id)s AND id = ANY(%(ids)s)

-- name: put_tickets
INSERT INTO ticketfeed.ticket (account_id, generated_timestamp, id, status, support_type, external_id,
                               user_ids, group_id, organization_id, problem_id, ticket_form_id, brand_id,
                               custom_status_id, agreement_ids, body)
VALUES /* rows */
ON CONFLICT (account_id, id) DO UPDATE
SET generated_timestamp = excluded.generated_timestamp, status = excluded.status,
    support_type = excluded.support_type, external_id = excluded.external_id, user_ids = excluded.user_ids,
    group_id = excluded.group_id, organization_id = excluded.organization_id, problem_id = excluded.problem_id,
    ticket_form_id = excluded.ticket_form_id, brand_id = excluded.brand_id,
    custom_status_id = excluded.custom_status_id, agreement_ids = excluded.agreement_ids, body = excluded.body

-- name: put_invalidation
INSERT INTO ticketfeed.invalidation (account_id, number, generated_timestamp, id) VALUES (%s, %s, %s, %s)

-- name: forget_invalidations
DELETE FROM ticketfeed.invalidation WHERE account_id = %(account_id)s AND number <= %(forgotten)s

-- name: read_invalidations
SELECT state.last_generated_timestamp, state.watermark, state.ticket_count, state.invalidations, state.record_changes,
       invalidation.generated_timestamp, invalidation.id
FROM ticketfeed.feed_state AS state
LEFT JOIN ticketfeed.invalidation ON invalidation.account_id = state.account_id AND invalidation.number > %(since)s
WHERE state.account_id = %(account_id)s

-- name: put_record
INSERT INTO ticketfeed.record (account_id, kind, id, generated_timestamp, ticket_id, comment_count, email,
                               external_id, is_deleted, body, metric_state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %b, %b)
ON CONFLICT (account_id, kind, id) DO UPDATE
SET generated_timestamp = excluded.generated_timestamp, ticket_id = excluded.ticket_id,
    comment_count = excluded.comment_count, email = excluded.email, external_id = excluded.external_id,
    is_deleted = excluded.is_deleted, body = excluded.body, metric_state = excluded.metric_state

-- name: read_records
SELECT id, body FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = %(kind)s AND id = ANY(%(ids)s)
ORDER BY id

-- name: read_record_changes
SELECT change.generated_timestamp, change.id, change.body, state.record_last_timestamp, state.record_watermark
FROM ticketfeed.feed_state AS state
LEFT JOIN LATERAL (
    SELECT generated_timestamp, id, body
    FROM ticketfeed.record
    WHERE account_id = %(account_id)s AND kind = %(kind)s
      AND (generated_timestamp, id) > (%(after_timestamp)s, %(after_id)s)
      AND generated_timestamp <= least(%(until)s, state.record_watermark)
    ORDER BY generated_timestamp, id
    LIMIT %(limit)s
) AS change ON TRUE
WHERE state.account_id = %(account_id)s

-- name: read_tickets
SELECT generated_timestamp, id, body, user_ids, group_id, organization_id, agreement_ids, ticket_form_id, brand_id,
       custom_status_id, status
FROM ticketfeed.ticket
WHERE account_id = %(account_id)s AND id = ANY(%(ids)s)
ORDER BY id

-- name: list_tickets
SELECT /* key */, id, body
FROM ticketfeed.ticket
WHERE account_id = %(account_id)s AND /* filters */
  AND (/* key */, id) > (%(after_key)s, %(after_id)s)
ORDER BY /* key */ ASC, id ASC
LIMIT %(limit)s OFFSET %(offset)s

-- name: count_listed_tickets
SELECT count(*) FROM ticketfeed.ticket WHERE account_id = %(account_id)s AND /* filters */

-- name: list_records
SELECT id, id, body
FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = %(kind)s AND is_deleted = 0 AND id > %(after_id)s
ORDER BY id ASC
LIMIT %(limit)s OFFSET %(offset)s

-- name: count_records
SELECT count(*) FROM ticketfeed.record WHERE account_id = %(account_id)s AND kind = %(kind)s AND is_deleted = 0

-- name: list_records_of_ticket
SELECT id, id, body
FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = %(kind)s AND ticket_id = %(ticket_id)s AND id > %(after_id)s
ORDER BY id ASC
LIMIT %(limit)s OFFSET %(offset)s

-- name: count_records_of_ticket
SELECT count(*) FROM ticketfeed.record WHERE account_id = %(account_id)s AND kind = %(kind)s AND ticket_id = %(ticket_id)s

-- name: read_of_tickets
SELECT ticket_id, id, body
FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = %(kind)s AND ticket_id = ANY(%(ids)s)
ORDER BY ticket_id, id

-- name: count_comments
SELECT ticket_id, sum(comment_count)::bigint
FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = 'audits' AND ticket_id = ANY(%(ids)s)
GROUP BY ticket_id

-- name: count_incidents
SELECT problem_id, count(*)
FROM ticketfeed.ticket
WHERE account_id = %(account_id)s AND problem_id = ANY(%(ids)s) AND status <> 'deleted'
GROUP BY problem_id

-- name: find_user
SELECT body FROM ticketfeed.record
WHERE account_id = %(account_id)s AND email = %(email)s AND kind = 'users'
ORDER BY is_deleted, id
LIMIT 1

-- name: find_ticket_bodies
SELECT id, body FROM ticketfeed.ticket WHERE account_id = %(account_id)s AND id = ANY(%(ids)s)

-- name: list_aged
SELECT generated_timestamp, id FROM ticketfeed.ticket
WHERE account_id = %(account_id)s AND status IN ('solved', 'deleted') AND status = %(status)s
  AND (generated_timestamp, id) > (%(after_timestamp)s, %(after_id)s) AND generated_timestamp <= %(until)s
ORDER BY generated_timestamp, id
LIMIT %(limit)s

-- name: find_metric_state
SELECT (SELECT metric_state FROM ticketfeed.record
        WHERE account_id = %(account_id)s AND kind = 'ticket_metrics' AND id = %(ticket_id)s),
       (SELECT count(*) FROM ticketfeed.record
        WHERE account_id = %(account_id)s AND kind = 'audits' AND ticket_id = %(ticket_id)s)

-- name: find_external
SELECT body FROM ticketfeed.record
WHERE account_id = %(account_id)s AND kind = %(kind)s AND external_id = %(external_id)s
ORDER BY is_deleted, id LIMIT 1

-- name: next_ticket_id
SELECT coalesce(max(id), 0) + 1 FROM ticketfeed.ticket WHERE account_id = %(account_id)s

-- name: next_record_id
SELECT coalesce(max(id), 0) + 1 FROM ticketfeed.record WHERE account_id = %(account_id)s AND kind = %(kind)s

-- name: find_idempotent_answer
SELECT fingerprint, stored_at, status, location, body FROM ticketfeed.idempotent_answer
WHERE account_id = %(account_id)s AND key = %(key)s AND stored_at > %(since)s

-- name: put_idempotent_answer
INSERT INTO ticketfeed.idempotent_answer (account_id, key, fingerprint, stored_at, status, location, body)
VALUES (%(account_id)s, %(key)s, %(fingerprint)s, %(stored_at)s, %(status)s, %(location)s, %(body)b)
ON CONFLICT (account_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, stored_at = excluded.stored_at, status = excluded.status,
    location = excluded.location, body = excluded.body

-- name: forget_answers
DELETE FROM ticketfeed.idempotent_answer WHERE account_id = %(account_id)s AND stored_at <= %(since)s

-- name: add_job
INSERT INTO ticketfeed.job (account_id, id, action, actor_id, created_at, total, finished_at)
VALUES (%(account_id)s, %(id)s, %(action)s, %(actor_id)s, %(created_at)s, %(total)s, %(finished_at)s)

-- name: add_job_item
INSERT INTO ticketfeed.job_item (account_id, job_id, number, item)
VALUES (%(account_id)s, %(job_id)s, %(number)s, %(item)b)

-- name: next_item
SELECT job.id, job.action, job.actor_id, job.created_at, job.total, job.finished_at, job_item.number, job_item.item
FROM ticketfeed.job AS job
JOIN ticketfeed.job_item AS job_item ON job_item.account_id = job.account_id AND job_item.job_id = job.id
WHERE job.account_id = %(account_id)s AND job.id = %(job_id)s AND job_item.result IS NULL
ORDER BY job_item.number LIMIT 1

-- name: put_result
UPDATE ticketfeed.job_item SET result = %(result)b
WHERE account_id = %(account_id)s AND job_id = %(job_id)s AND number = %(number)s

-- name: finish_job
UPDATE ticketfeed.job SET finished_at = %(finished_at)s WHERE account_id = %(account_id)s AND id = %(job_id)s

-- name: list_open_jobs
SELECT id FROM ticketfeed.job WHERE account_id = %(account_id)s AND finished_at IS NULL ORDER BY created_at, id

-- name: list_job_ids
SELECT id FROM ticketfeed.job WHERE account_id = %(account_id)s ORDER BY created_at DESC, id LIMIT 100

-- name: read_jobs
SELECT id, action, actor_id, created_at, total, finished_at FROM ticketfeed.job
WHERE account_id = %(account_id)s AND id = ANY(%(ids)s)
ORDER BY created_at DESC, id

-- name: read_results
SELECT job_id, result FROM ticketfeed.job_item
WHERE account_id = %(account_id)s AND job_id = ANY(%(ids)s) AND result IS NOT NULL
ORDER BY job_id, number

-- name: find_credential
SELECT credential.secret_hash, record.body
FROM ticketfeed.credential
JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = %(account_id)s AND credential.id = %(id)s AND credential.revoked_at IS NULL

-- name: find_token_user
SELECT credential.id, record.body
FROM ticketfeed.credential
JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = %(account_id)s
  AND credential.secret_hash = %(secret_hash)s AND credential.kind = 'api_token' AND credential.revoked_at IS NULL

-- name: find_passwords
SELECT credential.id, credential.secret_hash, record.body
FROM ticketfeed.record
JOIN ticketfeed.credential ON credential.account_id = record.account_id AND credential.user_id = record.id
WHERE record.account_id = %(account_id)s AND record.kind = 'users' AND record.email = %(email)s
  AND credential.kind = 'password' AND credential.revoked_at IS NULL
ORDER BY credential.id

-- name: list_credentials
SELECT credential.id, credential.user_id, coalesce(record.email, ''), credential.kind,
       credential.created_at, credential.revoked_at
FROM ticketfeed.credential
LEFT JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = %(account_id)s
ORDER BY credential.id

-- name: next_credential_id
SELECT coalesce(max(id), 0) + 1 FROM ticketfeed.credential WHERE account_id = %(account_id)s

-- name: find_secret
SELECT id FROM ticketfeed.credential
WHERE account_id = %(account_id)s AND secret_hash = %(secret_hash)s AND revoked_at IS NULL

-- name: add_credential
INSERT INTO ticketfeed.credential (account_id, id, user_id, kind, secret_hash, created_at)
VALUES (%(account_id)s, %(id)s, %(user_id)s, %(kind)s, %(secret_hash)s, %(created_at)s)

-- name: revoke_credential
UPDATE ticketfeed.credential SET revoked_at = %(revoked_at)s
WHERE account_id = %(account_id)s AND id = %(id)s AND revoked_at IS NULL

-- name: make_window
INSERT INTO ticketfeed.request_window (account_id, name) VALUES (%(account_id)s, %(name)s)
ON CONFLICT (account_id, name) DO NOTHING

-- name: lock_windows
SELECT name, started, used
FROM ticketfeed.request_window
WHERE account_id = %(account_id)s AND name = ANY(%(names)s)
ORDER BY name
FOR UPDATE

-- name: write_window
UPDATE ticketfeed.request_window SET started = %(started)s, used = %(used)s
WHERE account_id = %(account_id)s AND name = %(name)s

-- name: make_consumer
INSERT INTO ticketfeed.consumer (account_id, key) VALUES (%(account_id)s, %(key)s)
ON CONFLICT (account_id, key) DO NOTHING

-- name: lock_consumers
SELECT key, body FROM ticketfeed.consumer
WHERE account_id = %(account_id)s AND key = ANY(%(keys)s)
ORDER BY key
FOR UPDATE

-- name: read_consumers
SELECT body FROM ticketfeed.consumer
WHERE account_id = %(account_id)s AND body IS NOT NULL ORDER BY last_at DESC, key

-- name: list_consumers
SELECT key, last_at FROM ticketfeed.consumer WHERE account_id = %(account_id)s

-- name: write_consumer
UPDATE ticketfeed.consumer SET last_at = %(last_at)s, body = %(body)s
WHERE account_id = %(account_id)s AND key = %(key)s

-- name: forget_consumers
DELETE FROM ticketfeed.consumer WHERE account_id = %(account_id)s AND key = ANY(%(keys)s)

-- name: put_request
INSERT INTO ticketfeed.request (account_id, body) VALUES (%(account_id)s, %(body)s)

-- name: read_requests
SELECT body FROM ticketfeed.request WHERE account_id = %(account_id)s ORDER BY number DESC LIMIT %(keep)s

-- name: forget_requests
DELETE FROM ticketfeed.request WHERE account_id = %(account_id)s AND number <= (
    SELECT number FROM ticketfeed.request
    WHERE account_id = %(account_id)s ORDER BY number DESC LIMIT 1 OFFSET %(keep)s
)

-- name: count_changes
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM ticketfeed.ticket
    WHERE account_id = %(account_id)s
      AND (generated_timestamp, id) > (%(after_timestamp)s, %(after_id)s)
      AND (generated_timestamp, id) <= (%(until_timestamp)s, %(until_id)s)
      AND (NOT %(exclude_deleted)s OR status <> 'deleted')
      AND CASE %(scope)s
            WHEN 'agent' THEN support_type IS DISTINCT FROM 'ai_agent'
            WHEN 'ai_agent' THEN support_type = 'ai_agent'
            ELSE TRUE
          END
    ORDER BY generated_timestamp, id LIMIT %(limit)s
) AS pending

-- name: count_record_changes
SELECT count(*), min(generated_timestamp) FROM (
    SELECT generated_timestamp FROM ticketfeed.record
    WHERE account_id = %(account_id)s AND kind = %(kind)s
      AND (generated_timestamp, id) > (%(after_timestamp)s, %(after_id)s)
      AND (generated_timestamp, id) <= (%(until_timestamp)s, %(until_id)s)
    ORDER BY generated_timestamp, id LIMIT %(limit)s
) AS pending

-- name: count_by_time
SELECT generated_timestamp / %(seconds)s * %(seconds)s AS begin, count(*)
FROM ticketfeed.ticket
WHERE account_id = %(account_id)s AND generated_timestamp >= %(since)s
GROUP BY begin ORDER BY begin

-- name: risky_settings
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
ORDER BY name

-- name: size_bytes
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
WHERE pg_namespace.nspname = 'ticketfeed' AND pg_class.relkind IN ('r', 'p')

-- name: walk_accounts
SELECT account.account_id, account.subdomain,
       feed_state.last_generated_timestamp, feed_state.watermark, feed_state.ticket_count,
       feed_state.invalidations, feed_state.record_changes
FROM ticketfeed.account
LEFT JOIN ticketfeed.feed_state ON feed_state.account_id = account.account_id
ORDER BY account.account_id

-- name: walk_tickets
SELECT generated_timestamp, id, status, support_type, external_id, user_ids, group_id, organization_id, problem_id,
       ticket_form_id, brand_id, custom_status_id, agreement_ids, body
FROM ticketfeed.ticket
WHERE account_id = %(account_id)s
ORDER BY generated_timestamp, id

-- name: walk_positions_by_id
SELECT generated_timestamp, id FROM ticketfeed.ticket WHERE account_id = %(account_id)s ORDER BY id

-- name: walk_records
SELECT kind, id, generated_timestamp, ticket_id, comment_count, email, external_id, is_deleted, body, metric_state
FROM ticketfeed.record
WHERE account_id = %(account_id)s
ORDER BY kind, id

-- name: walk_dangling_credentials
SELECT credential.id, credential.user_id
FROM ticketfeed.credential
LEFT JOIN ticketfeed.record
  ON record.account_id = credential.account_id AND record.kind = 'users' AND record.id = credential.user_id
WHERE credential.account_id = %(account_id)s AND record.id IS NULL
ORDER BY credential.id

-- name: walk_orphans
SELECT 'feed_state', account_id, count(*) FROM ticketfeed.feed_state
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'ticket', account_id, count(*) FROM ticketfeed.ticket
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'invalidation', account_id, count(*) FROM ticketfeed.invalidation
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'record', account_id, count(*) FROM ticketfeed.record
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'job', account_id, count(*) FROM ticketfeed.job
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'job_item', account_id, count(*) FROM ticketfeed.job_item
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'idempotent_answer', account_id, count(*) FROM ticketfeed.idempotent_answer
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id
UNION ALL
SELECT 'credential', account_id, count(*) FROM ticketfeed.credential
WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id

-- name: check_indexes
SELECT class.relname FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indexrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed' AND NOT (index.indisvalid AND index.indisready)
ORDER BY class.relname

-- name: check_relations
SELECT class.relname FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE namespace.nspname = 'ticketfeed'

-- name: check_checksums
SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()

-- name: check_migrations
SELECT number, name FROM ticketfeed.migration ORDER BY number
