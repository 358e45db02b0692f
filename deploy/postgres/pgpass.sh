#!/bin/sh
# Run once, by the first start of each node: the file from which the nodes of Citus read the password for one another.
# The server finds it by PGPASSFILE, which the compose file sets.
set -eu
echo "*:*:*:$POSTGRES_USER:$POSTGRES_PASSWORD" > "$PGDATA/pgpass"
chmod 600 "$PGDATA/pgpass"
