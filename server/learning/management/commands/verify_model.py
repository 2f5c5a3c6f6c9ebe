"""``manage.py verify_model NAME``: is the model what its log says?"""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.learning import architecture, registry
from server.learning.models import Model
from server.learning.verification import Differs, verify
from server.streams.errors import NotFound, TailraceError


class Command(BaseCommand):
    help = (
        "Replays a model's log from the first observation in this process and compares every logged prediction "
        "and the served metrics bit for bit. Exits 1 with the first difference."
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
            try:
                model = registry.find(name)
            except NotFound as exc:
                raise CommandError(exc.message) from exc
            started = time.monotonic()
            try:
                found = verify(model, self._bar(name, model.stream.head))
            except Differs as exc:
                failed = True
                self.stdout.write(f"{name}: DIFFERS at {exc}")
                continue
            except TailraceError as exc:
                failed = True
                self.stdout.write(f"{name}: can't be verified: {exc.message}")
                continue
            begun = f" from the snapshot at {found['after']}, before which not all are kept" if found["after"] else ""
            self.stdout.write(
                f"{name}: verified: {found['observations']} observations replayed{begun}, {found['predictions']} logged "
                f"predictions and {found['metrics']} metrics equal bit for bit ({time.monotonic() - started:.1f} s)"
            )
        if failed:
            sys.exit(1)

    def _bar(self, name: str, head: int) -> Any:
        if not self.stderr.isatty():
            return None

        def show(n: int) -> None:
            self.stderr.write(f"\r{name}: {n}/{head} observations", ending="\n" if n >= head else "")
            self.stderr.flush()

        return show
