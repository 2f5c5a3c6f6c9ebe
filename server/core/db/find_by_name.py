"""A row by its unique name, where the name comes from a request."""

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from server.core.errors import NotFound
from server.core.validation import format_value

Row = TypeVar("Row", bound=Model)


def find_by_name(rows: QuerySet[Row], name: Any, missing: str, *, field: str, column: str = "name") -> Row:
    """Return the row with this name.

    Parameters
    ----------
    rows
        Where to look.
    name
        Any value: no row has a name that is not a string, or that a database can't store.
    missing
        Message if there is none; ``{name}`` stands for the name.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = rows.filter(**{column: name}).first() if isinstance(name, str) and "\x00" not in name else None
    if found is None:
        raise NotFound(missing.replace("{name}", format_value(name)), field=field)
    return found
