#!/bin/sh
# Run once, by the first start of each node: the nodes of Citus connect to one another with this password.
set -eu
echo "*:*:*:$POSTGRES_USER:$POSTGRES_PASSWORD" > "$PGDATA/pgpass"
chmod 600 "$PGDATA/pgpass"
echo "citus.node_conninfo = 'sslmode=prefer passfile=$PGDATA/pgpass'" >> "$PGDATA/postgresql.conf"
