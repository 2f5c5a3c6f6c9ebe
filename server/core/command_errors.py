"""Errors of the server and of the database, as errors of a ``manage.py`` command."""

import contextlib
from collections.abc import Iterator

from django.core.management.base import CommandError
from django.db import DatabaseError

from server.core.db.database_state import one_line
from server.core.errors import TailraceError


@contextlib.contextmanager
def as_command_errors(hint: str = "run `manage.py migrate` first if it is new") -> Iterator[None]:
    """Run the block; raise its errors as :class:`CommandError`, whose message Django prints without a traceback.

    Parameters
    ----------
    hint
        What to do if the database can't be used.

    Raises
    ------
    CommandError
        If the block raises :class:`TailraceError` or a database error.
    """
    try:
        yield
    except TailraceError as exc:
        raise CommandError(exc.message) from exc
    except DatabaseError as exc:
        raise CommandError(f"the database can't be used: {one_line(exc)}; {hint}") from exc
