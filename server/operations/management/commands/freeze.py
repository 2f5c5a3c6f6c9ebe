"""``manage.py freeze MODEL FILE``: a copy of a model that a server anywhere predicts with."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server import frozen
from server.learning import architecture
from server.streams.errors import TailraceError


class Command(BaseCommand):
    help = (
        "Write a model as it is now to FILE, without the log that made it. A server that is started with "
        "TAILRACE_FROZEN_MODEL=FILE predicts with it, bit for bit the same, and learns nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="its name")
        parser.add_argument("file", metavar="FILE", help="where to, such as runtime.tailrace")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        try:
            architecture.require()
            copy = frozen.freeze(options["model"])
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            try:
                fresh.write_bytes(copy.to_bytes())
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename or path}: {exc.strerror}; nothing was written") from exc
        self.stdout.write(
            f"{path}: model {copy.name} after {copy.at} observations, {path.stat().st_size} bytes, {copy.versions}"
        )
