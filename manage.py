#!/usr/bin/env python3
"""Django's command line for the server."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import DatabaseError, InterfaceError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    try:
        execute_from_command_line(sys.argv)
    except (DatabaseError, InterfaceError, OSError) as exc:
        if "--traceback" in sys.argv:
            raise
        command = " ".join(["manage.py", *sys.argv[1:2]])
        if isinstance(exc, OSError):
            where = "" if exc.filename is None else f"{exc.filename}: "
            sys.exit(f"{command}: {where}{exc.strerror or exc} (--traceback shows where)")
        reason = " ".join(str(exc).split())
        # SQLite and PostgreSQL have these words for a missing table.
        is_new = reason.startswith("no such table") or "does not exist LINE" in reason
        advice = "run `manage.py migrate` first if it is new, or " if is_new else ""
        sys.exit(
            f"{command}: the database can't be used: {reason}; {advice}check TAILRACE_DATABASE_URL (--traceback shows where)"
        )


if __name__ == "__main__":
    main()
