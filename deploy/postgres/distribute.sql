-- The tables of an account are distributed by it; usage records, logins and rate-limit windows stay on the coordinator.
-- Running it again leaves alone what is distributed already.
SELECT citus_set_coordinator_host('coordinator', 5432);
SELECT citus_add_node(name, 5432) FROM (VALUES ('worker1'), ('worker2')) AS node (name);

SELECT create_reference_table('ticketfeed.account')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.account'::regclass);

SELECT create_distributed_table('ticketfeed.feed_state', 'account_id')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.feed_state'::regclass);

SELECT create_distributed_table('ticketfeed.' || name, 'account_id', colocate_with => 'ticketfeed.feed_state')
FROM (
    VALUES ('ticket'), ('invalidation'), ('record'), ('credential'), ('job'), ('job_item'), ('idempotent_answer'),
        ('search_entry'), ('oauth_client'), ('oauth_token'), ('oauth_code'), ('account_clock'), ('mirror'),
        ('kind_state')
) AS part (name)
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = ('ticketfeed.' || name)::regclass);
