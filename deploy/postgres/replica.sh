#!/bin/sh
# A streaming replica: a copy of the primary at the first start, what has changed since then at every other.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$(dirname "$PGDATA")"
    # A copy that was cut off is not taken for a whole one: it is made beside, and put in place when it is there.
    rm -rf "$PGDATA.part" "$PGDATA"
    pg_basebackup -h "$PRIMARY_HOST" -U replicator -D "$PGDATA.part" -R -X stream -c fast
    mv "$PGDATA.part" "$PGDATA"
fi
exec postgres -D "$PGDATA" -c hot_standby_feedback=on "$@"
