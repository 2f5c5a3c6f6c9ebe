"""``manage.py restore FILE``: restore a backup into an empty database."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from server.config import PREFIX
from server.contents import storage
from server.core.db import migrating
from server.core.db.database_state import one_line
from server.core.errors import Unavailable
from server.core.progress_bar import Bar
from server.operations.backup import container, contents, restoring
from server.operations.backup.errors import BackupError
from server.runtime import single_instance


class Command(BaseCommand):
    help = (
        "Restore a backup (`manage.py backup`) into the database of the settings, which must be empty. If it fails, nothing "
        "is changed. The backup may come from SQLite or PostgreSQL, and from this version or an older one. Files of results are "
        "restored from the folder FILE.files into the place that the settings name."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the backup; -: standard input")
        parser.add_argument(
            "--check", action="store_true", help="only check that the backup and its files of results are intact"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        path = None if name == "-" else Path(name)
        started = time.monotonic()
        try:
            with _opened(name) as file:
                if options["check"]:
                    found = _read_through(file, path)
                else:
                    single_instance.exclude_servers()
                    with migrating.migration_lock(settings.TAILRACE), Bar("rows") as bar:
                        found = restoring.restore(file, bar, lambda: self._restore_files(path))
        except Unavailable as exc:
            raise CommandError(f"{name} was not restored, and the database was not changed: {exc.message}") from exc
        except (BackupError, single_instance.AlreadyRunning) as exc:
            raise CommandError(f"{name} was not restored, and nothing was changed: {exc}") from exc
        except DatabaseError as exc:
            raise CommandError(
                f"{name} was not restored, and nothing was changed: database error: {one_line(exc)}; check {PREFIX}DATABASE_URL"
            ) from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename or name}: {exc.strerror}; nothing was changed") from exc
        rows, took = sum(found["rows"].values()), time.monotonic() - started
        made = f"made at {found['made_at']} by Tailrace {found['tailrace']} on {found['database']}"
        self.stdout.write(f"{'intact' if options['check'] else 'restored'}: {rows:,} rows in {took:.1f} s, {made}")
        if not options["check"]:
            self.stdout.write(
                "Later changes are lost, including revoked tokens and blocked users: check whether any must be revoked or blocked "
                "again. `manage.py verify_model --all` and `manage.py verify_audit` check the restored data."
            )

    def _restore_files(self, path: Path | None) -> None:
        wanted = contents.wanted(connection)
        with Bar("files") as bar:
            missing = contents.restored(path, wanted, bar)
        if wanted:
            self.stdout.write(
                f"files of results: {len(wanted) - len(missing):,} of {len(wanted):,} are in {storage.store().where}"
            )
        if missing:
            self.stderr.write(
                f"{len(missing):,} files of results are missing: manage.py verify_files lists them; copy them from another backup"
            )


@contextlib.contextmanager
def _opened(name: str) -> Any:
    """Open the backup. The checksum of a file is checked first; that of standard input while it is read."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        container.check(file)
        yield file


def _read_through(file: BinaryIO, path: Path | None) -> dict[str, Any]:
    reader = container.Reader(file)
    rows: dict[str, int] = {}
    wanted: contents.Wanted = {}
    for table, columns, chunks in reader.tables():
        rows[table] = 0
        for chunk in chunks:
            rows[table] += len(chunk)
            if table in contents.TABLES:
                wanted |= contents.of_rows(columns, chunk)
    # Older versions said nothing about files, and copied none.
    if path is not None and reader.header.get("files", {}).get("where") == contents.BESIDE:
        contents.check(path, wanted)
    return {**reader.header, "rows": rows}
