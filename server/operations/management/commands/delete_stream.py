"""``manage.py delete_stream STREAM``: a stream of any length, with all that depends on it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.cells.deletion import Cells
from server.learning.deletion import Models
from server.learning.models import Model, Prediction
from server.streams import deletion, registry
from server.streams.errors import TailraceError


class Command(BaseCommand):
    help = (
        "Delete a stream for good, with its log, models, kept predictions, cells and databases, whoever made them. Says what goes; "
        "with --yes, does it. On SQLite nobody else can write meanwhile, for about 25 s a million rows."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stream", metavar="STREAM", help="name of the stream")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stream = registry.find(options["stream"])
            models = (
                ", ".join(Model.objects.filter(stream=stream).order_by("name").values_list("name", flat=True)) or "none"
            )
            waiting = Prediction.objects.filter(stream=stream).count()
            self.stdout.write(
                f"Stream {stream.name}: {stream.head:,} observations, {waiting:,} kept predictions; models: {models}."
            )
            if not options["yes"]:
                self.stdout.write("Nothing was changed: --yes deletes all of it.")
                return
            deletion.delete(stream, (Models(), Cells()), with_log=True, any_length=True)
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write("Deleted.")
