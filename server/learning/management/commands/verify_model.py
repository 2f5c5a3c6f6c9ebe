"""``manage.py verify_model NAME``: replays a model's log and compares the results."""

import sys
import time
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.core.command_errors import as_command_errors
from server.core.errors import TailraceError
from server.core.progress_bar import Bar
from server.learning import registry
from server.learning.fold import architecture
from server.learning.models import Model
from server.learning.verification import Differs, verify


class Command(BaseCommand):
    help = (
        "Replays a model's log from the first observation and compares every logged prediction, "
        "its record and the served metrics bit for bit. Prints the first difference and exits with 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="NAME", help="model to verify")
        parser.add_argument("--all", action="store_true", help="every model that serves")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = False
        if (reason := architecture.problem()) is not None:
            raise CommandError(reason)
        names = options["models"]
        if bool(names) is options["all"]:
            raise CommandError("expected names of models, or --all")
        if options["all"]:
            serving = Model.objects.filter(status__in=(Model.READY, Model.REBUILDING))
            names = list(serving.order_by("name").values_list("name", flat=True))
        for name in names:
            with as_command_errors():
                model = registry.find(name)
            started = time.monotonic()
            try:
                with Bar(f"observations, {name}") as bar:
                    found = verify(model, partial(bar, total=model.stream.head))
            except Differs as exc:
                failed = True
                self.stdout.write(f"{name}: DIFFERS at {exc}")
                continue
            except TailraceError as exc:
                failed = True
                self.stdout.write(f"{name}: can't be verified: {exc.message}")
                continue
            begun = (
                f" from the snapshot at {found['after']}, since earlier ones are not all kept" if found["after"] else ""
            )
            behind = model.stream.head - found["recorded"]
            late = f", {behind} observations behind" if behind > 0 else ""
            self.stdout.write(
                f"{name}: verified: {found['observations']} observations replayed{begun}, {found['predictions']} logged "
                f"predictions and {found['metrics']} metrics equal bit for bit, and {found['rows']} rows of its record, which has "
                f"come to {found['recorded']}{late} ({time.monotonic() - started:.1f} s)"
            )
        if failed:
            sys.exit(1)
