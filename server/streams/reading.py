"""One indexed row, as directly as the database's own driver gives it: Django's cursor costs as much as the read itself."""

from typing import Any

from django.db import connections

from server.streams.prepared import Said, Statement, send


class OneRow:
    """A query for one row, written for psycopg (``%s``).

    Parameters
    ----------
    sql
        The query; its placeholders are the only thing that changes.
    """

    def __init__(self, sql: str) -> None:
        self._pg = Statement(sql)
        self._sqlite = sql.replace("%s", "?")

    def __call__(self, *parameters: Any) -> tuple[Any, ...] | None:
        """The row, or None.

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
                row = send(connection.connection, [Said(self._pg, parameters)])
        return row
