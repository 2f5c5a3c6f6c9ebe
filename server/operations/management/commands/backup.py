"""``manage.py backup FILE``: everything that the server keeps, while it serves."""

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server.config import PREFIX
from server.operations.backup import files, making
from server.operations.backup.errors import BackupError
from server.operations.progress import Bar


class Command(BaseCommand):
    help = (
        "Write everything that the server keeps to FILE (-: standard output): streams with their logs, models, snapshots, "
        "accounts, the audit trail, all as of one moment, while the server goes on. FILE appears once it is whole and on "
        "disk. The secret key is not in it, nor are settings."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="where to, such as tailrace-2026-11-21.gz; -: standard output")
        parser.add_argument(
            "--keep",
            type=int,
            metavar="N",
            help="afterwards delete all but the newest N backups beside FILE whose names differ from its in digits alone",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        keep, name = options["keep"], options["file"]
        if keep is not None and (keep < 1 or name == "-"):
            raise CommandError(f"--keep is {keep}: expected 1 or more, and a FILE that is not -")
        bar = Bar.on_terminal("rows")
        started = time.monotonic()
        try:
            path = None if name == "-" else Path(name)
            if path is not None and keep is not None:
                files.check_name(path)
            if path is None:
                if sys.stdout.isatty():
                    raise CommandError("a backup is no text: send standard output into a file or another program")
                with making.moment() as connection:
                    counts = making.write(connection, sys.stdout.buffer, bar)
                sys.stdout.buffer.flush()
            else:
                with making.moment() as connection, files.written(path) as file:
                    counts = making.write(connection, file, bar)
        except BackupError as exc:
            raise CommandError(f"{exc}; no backup was made") from exc
        except DatabaseError as exc:
            reason = " ".join(str(exc).split())
            raise CommandError(f"the database can't be read: {reason}; check {PREFIX}DATABASE_URL") from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename or name}: {exc.strerror}; no backup was made") from exc
        finally:
            if bar is not None:
                bar.end()
        size = counts.pop("")
        took = time.monotonic() - started
        self.stderr.write(
            f"backup: {sum(counts.values()):,} rows, {size / 1e6:,.1f} MB in {took:.1f} s: {name}", style_func=str
        )
        if path is not None and keep is not None:
            for gone in files.prune(path, keep):
                self.stderr.write(f"backup: deleted {gone}", style_func=str)
