"""``manage.py retain STREAM``: a log that need not be kept whole for ever."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server.cells.models import Cell
from server.config import PREFIX
from server.learning import architecture, retention
from server.learning.retention import Plan
from server.operations.progress import Bar
from server.streams import registry
from server.streams.errors import TailraceError
from server.streams.models import Stream

TOLD = """\
Stream {stream}: observations 1 to {upto} of {head} {fate}.
  Models go on as they are, from a snapshot at {upto} that is kept for ever.
  Numbers stay as they are, and a point that was posted before is still known by its key.
  What can't be done any more with observations 1 to {upto}: replay or verify them, retract one of them, see a model as of one
  before {upto}, or have a new model learn them.
"""


class Command(BaseCommand):
    help = (
        "Thin out or drop the older part of a stream's log, which is kept whole for ever otherwise. Says what that means; "
        "with --yes, does it. It can't be undone."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stream", metavar="STREAM", help="name of the stream")
        part = parser.add_mutually_exclusive_group(required=True)
        part.add_argument("--before", type=int, metavar="N", help="the observations with numbers less than N")
        part.add_argument("--keep-last", type=int, metavar="M", help="all but the last M observations")
        fate = parser.add_mutually_exclusive_group(required=True)
        fate.add_argument("--drop", action="store_true", help="keep none of them")
        fate.add_argument("--thin", type=int, metavar="K", help="keep every K-th of them, to look at")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        bar = Bar.on_terminal("observations")
        try:
            architecture.require()
            stream = registry.find(options["stream"])
            upto = options["before"] - 1 if options["before"] is not None else stream.head - options["keep_last"]
            _check_cells(stream, upto)
            found = retention.plan(stream, upto, options["thin"])
            self.stdout.write(_told(found), ending="")
            if not options["yes"]:
                self.stdout.write("Nothing was changed: --yes does it.")
                return
            changed = retention.carry_out(found, bar)
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"the database can't be used: {' '.join(str(exc).split())}; check {PREFIX}DATABASE_URL"
            ) from exc
        finally:
            if bar is not None:
                bar.end()
        self.stdout.write(f"Done: {changed:,} rows of the log were changed or deleted.")


def _told(found: Plan) -> str:
    fate = "are dropped" if found.every is None else f"are thinned out, but for every {found.every}th"
    return TOLD.format(stream=found.stream.name, upto=found.upto, head=found.stream.head, fate=fate)


def _check_cells(stream: Stream, upto: int) -> None:
    """Cells keep their bonds: databases of interactions are drawn from them, and are the same for ever."""
    cell = Cell.objects.filter(stream=stream, first__lte=upto).order_by("first").first()
    if cell is not None:
        raise CommandError(
            f"observations {cell.first} to {cell.last} of stream {stream.name} are bonds of cell {cell.name}, from which "
            f"databases of interactions are drawn that never change: they are kept (--before {cell.first} at most)"
        )
