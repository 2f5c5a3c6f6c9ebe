"""``manage.py delete_stream STREAM``: delete a stream of any size, with all data that depends on it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from server.cells.deletion import Cells
from server.core.command_errors import as_command_errors
from server.learning.deletion import Models
from server.learning.models import Model, Prediction
from server.streams import deletion, registry


class Command(BaseCommand):
    help = (
        "Delete a stream with its log, models, kept predictions, cells and databases, whoever created them. Without --yes it "
        "only shows what would be deleted. On SQLite nobody else can write meanwhile, for about 25 s per million rows."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stream", metavar="STREAM", help="name of the stream")
        parser.add_argument("--yes", action="store_true", help="delete the stream")

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            stream = registry.find(options["stream"])
            models = (
                ", ".join(Model.objects.filter(stream=stream).order_by("name").values_list("name", flat=True)) or "none"
            )
            waiting = Prediction.objects.filter(stream=stream).count()
            self.stdout.write(
                f"Stream {stream.name}: {stream.head:,} observations, {waiting:,} kept predictions; models: {models}."
            )
            if not options["yes"]:
                self.stdout.write("Nothing was changed. To delete all of it, add --yes.")
                return
            deletion.delete(stream, (Models(), Cells()), with_log=True, unlimited=True)
        self.stdout.write("Deleted.")
