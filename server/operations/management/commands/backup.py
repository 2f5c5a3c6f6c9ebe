"""``manage.py backup FILE``: write all data to a file, while the server runs."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server.config import PREFIX
from server.core.db.database_state import one_line
from server.core.db.locks import transaction_for_writing
from server.core.errors import Unavailable
from server.core.progress_bar import Bar
from server.notifications import outbox
from server.operations.backup import contents, files, making
from server.operations.backup.errors import BackupError


class Command(BaseCommand):
    help = (
        "Write all data to FILE (-: standard output): streams with their logs, models, snapshots, accounts and the audit "
        "trail, as of one moment, while the server runs. FILE appears when it is complete and on disk. It contains neither "
        "the secret key nor settings. Files of results are copied to the folder FILE.files, unless they are in a bucket."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="file to write, such as tailrace-2026-11-21.gz; -: standard output"
        )
        parser.add_argument(
            "--keep",
            type=int,
            metavar="N",
            help="then delete all but the newest N backups beside FILE whose names differ from it only in digits",
        )

        parser.add_argument("--without-files", action="store_true", help="leave out files of results")

    def handle(self, *args: Any, **options: Any) -> None:
        keep, name = options["keep"], options["file"]
        if keep is not None and (keep < 1 or name == "-"):
            raise CommandError(f"--keep is {keep}: expected 1 or more, and a FILE other than -")
        is_beside = name != "-" and not options["without_files"]
        started = time.monotonic()
        bad: list[str] = []
        try:
            path = None if name == "-" else Path(name)
            if path is not None and keep is not None:
                files.check_name(path)
            if path is None:
                if sys.stdout.isatty():
                    raise CommandError("a backup is binary: redirect standard output to a file or another program")
                with Bar("rows") as bar, making.snapshot_connection() as connection:
                    found = contents.wanted(connection)
                    of_files = contents.described(found, is_beside=False)
                    counts = making.write(connection, sys.stdout.buffer, bar, files=of_files)
                sys.stdout.buffer.flush()
            else:
                with contents.beside(path) as folder, files.written(path) as file:
                    with Bar("rows") as bar, making.snapshot_connection() as connection:
                        found = contents.wanted(connection)
                        of_files = contents.described(found, is_beside=is_beside)
                        counts = making.write(connection, file, bar, files=of_files)
                    with Bar("files") as bar:
                        bad = contents.copy(folder, found if of_files["where"] == contents.BESIDE else {}, bar)
        except BackupError as exc:
            raise CommandError(f"{exc}; no backup was made") from exc
        except DatabaseError as exc:
            raise CommandError(f"the database can't be read: {one_line(exc)}; check {PREFIX}DATABASE_URL") from exc
        except OSError as exc:
            raise _failed(f"{exc.filename or name}: {exc.strerror}; no backup was made") from exc
        size = counts.pop("")
        took = time.monotonic() - started
        self.stderr.write(
            f"backup: {sum(counts.values()):,} rows, {size / 1e6:,.1f} MB in {took:.1f} s: {name}", style_func=str
        )
        self._tell(of_files, name)
        if path is not None and keep is not None:
            for gone in files.prune(path, keep):
                self.stderr.write(f"backup: deleted {gone}", style_func=str)
        if bad:
            raise _failed(
                f"{name} was written, but of {len(found)} contents of files {len(bad)} are missing or were altered on "
                "the server: manage.py verify_files lists them"
            )

    def _tell(self, of_files: dict[str, Any], name: str) -> None:
        """Say where the files of results are."""
        told = {
            contents.BESIDE: f"in {name}{contents.SUFFIX}",
            contents.BUCKET: "not copied: they are in a bucket, which needs versions of its own",
            contents.LEFT_OUT: "not in this backup",
        }[of_files["where"]]
        if of_files["contents"]:
            self.stderr.write(
                f"backup: {of_files['contents']:,} files of results, {of_files['bytes'] / 1e6:,.1f} MB, {told}",
                style_func=str,
            )


def _failed(message: str) -> CommandError:
    """Notify the admins that a backup failed, and return the error to raise."""
    with contextlib.suppress(DatabaseError, Unavailable), transaction_for_writing():
        outbox.publish("backup.failed", [], "A backup failed", message, group="backup")
    return CommandError(message)
