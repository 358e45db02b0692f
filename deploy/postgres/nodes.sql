-- The nodes of Citus, by their names in the compose file. Running it again leaves alone what is there already.
SELECT citus_set_coordinator_host('coordinator', 5432);
SELECT citus_add_node(name, 5432) FROM (VALUES ('worker1'), ('worker2')) AS node (name);
