"""Size of text columns in bytes, as a query expression."""

from typing import Any

from django.db.models import Func, IntegerField, QuerySet
from django.db.models.functions import Coalesce


class TextBytes(Func):
    """Size of a text column in bytes; null if the column is null."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # LENGTH counts characters. Not every SQLite has OCTET_LENGTH.
        return super().as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


def bytes_up_to(rows: QuerySet[Any], columns: tuple[str, ...], most: int) -> int:
    """Return the size of the text columns of the rows, in bytes. It stops when the sum exceeds ``most``."""
    total = 0
    for sizes in rows.values_list(*(Coalesce(TextBytes(column), 0) for column in columns)).iterator():
        total += sum(sizes)
        if total > most:
            break
    return total
