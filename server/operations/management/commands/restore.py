"""``manage.py restore FILE``: a backup into an empty database, of either kind."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server import database, only_server
from server.config import PREFIX
from server.operations.backup import container, restoring
from server.operations.backup.errors import BackupError
from server.operations.progress import Bar


class Command(BaseCommand):
    help = (
        "Restore what `manage.py backup` wrote into the database of the settings, which has to be empty: all of it, or "
        "nothing. The backup may come from SQLite or PostgreSQL, and from this version or an older one."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the backup; -: standard input")
        parser.add_argument("--check", action="store_true", help="only read it through, and say whether it is whole")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        bar = Bar.on_terminal("rows")
        started = time.monotonic()
        try:
            with _opened(name) as file:
                if options["check"]:
                    found = _read_through(file)
                else:
                    only_server.keep_servers_off()
                    with database.alone(settings.TAILRACE):
                        found = restoring.restore(file, bar)
        except (BackupError, only_server.Taken) as exc:
            raise CommandError(f"{name} was not restored, and nothing was changed: {exc}") from exc
        except DatabaseError as exc:
            reason = " ".join(str(exc).split())
            raise CommandError(
                f"{name} was not restored, and nothing was changed: the database refused: {reason}; check {PREFIX}DATABASE_URL"
            ) from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename or name}: {exc.strerror}; nothing was changed") from exc
        finally:
            if bar is not None:
                bar.end()
        rows, took = sum(found["rows"].values()), time.monotonic() - started
        made = f"made at {found['made_at']} by Tailrace {found['tailrace']} on {found['database']}"
        self.stdout.write(f"{'whole' if options['check'] else 'restored'}: {rows:,} rows in {took:.1f} s, {made}")
        if not options["check"]:
            self.stdout.write(
                "What was changed after that time is gone, also what was taken from somebody: look whether a token or a user "
                "is to be stopped again. `manage.py verify_model --all` and `manage.py verify_audit` prove what is there."
            )


@contextlib.contextmanager
def _opened(name: str) -> Any:
    """The backup, once its checksum has been compared where it can be read twice."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        container.check(file)
        yield file


def _read_through(file: BinaryIO) -> dict[str, Any]:
    reader = container.Reader(file)
    rows = {table: sum(map(len, chunks)) for table, _, chunks in reader.tables()}
    return {**reader.header, "rows": rows}
