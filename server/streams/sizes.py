"""Bytes that text takes in the database, as an expression of a query."""

from typing import Any

from django.db.models import Func, IntegerField, QuerySet
from django.db.models.functions import Coalesce


class TextBytes(Func):
    """Bytes of a text column; null of null."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # LENGTH counts characters; OCTET_LENGTH isn't in every SQLite.
        return super().as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


def bytes_up_to(rows: QuerySet[Any], columns: tuple[str, ...], most: int) -> int:
    """Bytes that text columns of some rows take; reads no more rows than until there are more than ``most``."""
    total = 0
    for sizes in rows.values_list(*(Coalesce(TextBytes(column), 0) for column in columns)).iterator():
        total += sum(sizes)
        if total > most:
            break
    return total
