"""``manage.py freeze MODEL FILE``: write a copy of a model for prediction on another server."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.core.command_errors import as_command_errors
from server.learning import frozen_copies
from server.learning.fold import architecture


class Command(BaseCommand):
    help = (
        "Write the current state of a model to FILE, without its log. A server that is started with "
        "TAILRACE_FROZEN_MODEL=FILE predicts with it, bit for bit the same, and doesn't learn."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="name of the model")
        parser.add_argument("file", metavar="FILE", help="file to write, such as runtime.tailrace")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        with as_command_errors():
            architecture.require()
            copy = frozen_copies.freeze(options["model"])
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            try:
                fresh.write_bytes(copy.to_bytes())
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as exc:
            raise CommandError(f"{exc.filename or path}: {exc.strerror}; nothing was written") from exc
        self.stdout.write(
            f"{path}: model {copy.name} after {copy.at} observations, {path.stat().st_size} bytes, {copy.versions}"
        )
