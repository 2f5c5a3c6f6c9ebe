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
        sys.exit(
            f"{command}: the database can't be used: {reason}; check TAILRACE_DATABASE_URL (--traceback shows where)"
        )


if __name__ == "__main__":
    main()
