"""``manage.py retain STREAM``: thin out or drop old observations of a stream."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from server.cells import retention as cells_retention
from server.config import PREFIX
from server.core.command_errors import as_command_errors
from server.core.progress_bar import Bar
from server.learning.background import retention
from server.learning.background.retention import Plan
from server.learning.fold import architecture
from server.streams import registry

TOLD = """\
Stream {stream}: observations 1 to {upto} of {head} {fate}.
  Models continue unchanged, from a snapshot at {upto} that is kept permanently.
  Observations keep their numbers, and points that are posted again are still recognized by their keys.
  No longer possible with observations 1 to {upto}: replay or verify them, retract one of them, inspect a model as of one
  before {upto}, or let a new model learn them.
"""


class Command(BaseCommand):
    help = (
        "Thin out or drop the older part of a stream's log, which is otherwise kept permanently. Without --yes it only shows the "
        "consequences. It can't be undone."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stream", metavar="STREAM", help="name of the stream")
        part = parser.add_mutually_exclusive_group(required=True)
        part.add_argument("--before", type=int, metavar="N", help="observations with numbers less than N")
        part.add_argument("--keep-last", type=int, metavar="M", help="all but the last M observations")
        fate = parser.add_mutually_exclusive_group(required=True)
        fate.add_argument("--drop", action="store_true", help="drop all of them")
        fate.add_argument("--thin", type=int, metavar="K", help="keep only every Kth of them")
        parser.add_argument("--yes", action="store_true", help="change the log")

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors(f"check {PREFIX}DATABASE_URL"), Bar("observations") as bar:
            architecture.require()
            stream = registry.find(options["stream"])
            upto = options["before"] - 1 if options["before"] is not None else stream.head - options["keep_last"]
            cells_retention.check(stream, upto)
            found = retention.plan(stream, upto, options["thin"])
            self.stdout.write(_told(found), ending="")
            if not options["yes"]:
                self.stdout.write("Nothing was changed. To do it, add --yes.")
                return
            changed = retention.carry_out(found, bar)
        self.stdout.write(f"Done: {changed:,} rows of the log were changed or deleted.")


def _told(found: Plan) -> str:
    fate = "are dropped" if found.every is None else f"are dropped, except every {found.every}th"
    return TOLD.format(stream=found.stream.name, upto=found.upto, head=found.stream.head, fate=fate)
