"""Storing many rows by one prepared statement: Django's ``bulk_update`` takes ten times as long."""

import functools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Field, Model


def store(rows: Iterable[Model], names: Sequence[str]) -> None:
    """Store these fields of rows that exist. All rows are of one table."""
    rows = list(rows)
    if not rows:
        return
    meta = rows[0]._meta
    fields = [field for field in map(meta.get_field, names) if isinstance(field, Field)]
    columns = ", ".join(f'"{field.column}" = %s' for field in fields)
    values = [
        [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields), row.pk] for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(f'UPDATE "{meta.db_table}" SET {columns} WHERE id = %s', values)


def add(model: type[Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Add rows. Each has values of these fields, and ids in place of related rows."""
    if not rows:
        return
    fields = [field for field in map(model._meta.get_field, names) if isinstance(field, Field)]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join("%s" for _ in fields)
    # Most rows have most values in common, and Django takes longer to convert them than a database to store them.
    converted = [functools.cache(partial(field.get_db_prep_save, connection=connection)) for field in fields]
    values = [[convert(value) for convert, value in zip(converted, row, strict=True)] for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany(f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES ({places})', values)
