"""Whether pages can be read from a replica, for diagnosis: a server that cannot use one reads from the others."""

from ticketfeed.storage import needs_driver

__all__ = ["find_replica_problem"]


def find_replica_problem(url: str, store_id: str) -> str | None:
    """What is wrong with a replica of a PostgreSQL store, or with a worker of Citus, which has no id of a store."""
    with needs_driver():
        import psycopg

        from ticketfeed.storage.postgres.pools import CONNECTION, NO_REPLICA, explain
        from ticketfeed.storage.postgres.session import QUERIES

    try:
        with psycopg.connect(url, **CONNECTION) as connection:
            connection.execute("SELECT 1 FROM ticketfeed.account LIMIT 1")
            if connection.execute("SELECT to_regclass('ticketfeed.meta')").fetchone() == (None,):
                return None
            rows = connection.execute(QUERIES["read_store_id"].encode()).fetchall()
            return None if rows == [(store_id,)] else NO_REPLICA
    except psycopg.Error as error:
        return explain(error)
