"""``manage.py rebuild_record NAME``: has a model's record made again from the log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.core.errors import NotFound
from server.learning import registry
from server.learning.records import storing


class Command(BaseCommand):
    help = "Drops a model's record. The running server makes it again from the log, in the background."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="NAME", help="model whose record is made again")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            model = registry.find(options["model"])
        except NotFound as exc:
            raise CommandError(exc.message) from exc
        storing.forget(model.pk)
        self.stdout.write(f"{model.name}: its record is dropped, and the running server makes it again")
