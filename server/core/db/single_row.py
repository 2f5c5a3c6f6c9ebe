"""Queries for one indexed row, run by the database driver itself: Django's cursor takes as long as such a query."""

from typing import Any

from django.db import connections

from server.core.db.prepared_statements import BoundStatement, Statement, send


class SingleRowQuery:
    """A query for one row.

    Parameters
    ----------
    sql
        The query, with placeholders as psycopg expects them (``%s``).
    """

    def __init__(self, sql: str) -> None:
        self._pg = Statement(sql)
        self._sqlite = sql.replace("%s", "?")

    def __call__(self, *parameters: Any) -> tuple[Any, ...] | None:
        """Return the row; None if there is none.

        Raises
        ------
        django.db.DatabaseError, django.db.InterfaceError
            As Django's cursor raises them.
        """
        connection = connections["default"]
        if connection.connection is None:
            connection.ensure_connection()
        row: tuple[Any, ...] | None
        with connection.wrap_database_errors:
            if connection.vendor == "sqlite":
                row = connection.connection.execute(self._sqlite, parameters).fetchone()
            else:
                row = send(connection.connection, [BoundStatement(self._pg, parameters)])
        return row
