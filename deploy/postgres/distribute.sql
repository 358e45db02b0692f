-- What an account holds lies where the account lies; what is noted of its readers stays with the coordinator. Run it again at will: what is distributed already is left alone.
SELECT citus_set_coordinator_host('coordinator', 5432);
SELECT citus_add_node(name, 5432) FROM (VALUES ('worker1'), ('worker2')) AS node (name);

SELECT create_reference_table('ticketfeed.account')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.account'::regclass);

SELECT create_distributed_table('ticketfeed.feed_state', 'account_id')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.feed_state'::regclass);

SELECT create_distributed_table('ticketfeed.' || name, 'account_id', colocate_with => 'ticketfeed.feed_state')
FROM (VALUES ('ticket'), ('departure'), ('record'), ('credential'), ('job'), ('job_item'), ('kept_answer')) AS part (name)
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = ('ticketfeed.' || name)::regclass);
