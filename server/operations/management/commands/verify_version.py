"""``manage.py verify_version models:/NAME/VERSION --uri URL``: replays the log to where a mirrored version is."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.core.command_errors import as_command_errors
from server.core.progress_bar import Bar
from server.learning.fold import architecture
from server.mirror import checking, downloads, targets


class Command(BaseCommand):
    help = (
        "Replay the log to the position of a version that `manage.py mirror` has registered, and compare the states bit for bit. It "
        "exits with 1 if they differ, or if the version is stale: built on an observation that was retracted since. The token comes "
        "from MLFLOW_TRACKING_TOKEN, or from --token-file."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "versions",
            nargs="+",
            metavar="VERSION",
            help="models:/NAME/VERSION, models:/NAME@ALIAS, or a version's folder",
        )
        parser.add_argument("--uri", metavar="URL", help="address of the MLflow server (default: MLFLOW_TRACKING_URI)")
        parser.add_argument("--token-file", metavar="FILE", help="file with the token")

    def handle(self, *args: Any, **options: Any) -> None:
        if (reason := architecture.problem()) is not None:
            raise CommandError(reason)
        failed = False
        for name in options["versions"]:
            started = time.monotonic()
            with as_command_errors():
                if name.startswith("models:"):
                    backend = targets.find(targets.MLFLOW, uri=options["uri"], token_file=options["token_file"])
                    found = downloads.from_mlflow(name, targets.requests_to(backend))
                else:
                    found = downloads.from_folder(Path(name))
                with Bar(f"observations, {found.frozen.name}") as bar:
                    verdict = checking.check(found, partial(bar, total=found.frozen.at))
            told = (
                f"{found.name}: model {found.frozen.name} of stream {found.frozen.stream['name']} at {found.frozen.at}"
            )
            if verdict.difference:
                self.stdout.write(f"{told}: DIFFERS: {verdict.difference}")
            else:
                begun = f" from the snapshot at {verdict.after}" if verdict.after else ""
                self.stdout.write(
                    f"{told}: verified: {verdict.observations} observations replayed{begun}, its state is equal bit for bit "
                    f"({time.monotonic() - started:.1f} s)"
                )
            if verdict.stale:
                self.stdout.write(f"{told}: STALE: {verdict.stale}")
            failed |= bool(verdict.difference or verdict.stale)
        if failed:
            sys.exit(1)
