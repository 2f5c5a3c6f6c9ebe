"""``manage.py clean_files``: delete contents that neither a result nor an artifact names."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.calculations import cleaning
from server.contents import storage
from server.core.command_errors import as_command_errors
from server.core.progress_bar import Bar

HOUR = 3600.0


class Command(BaseCommand):
    help = (
        "Delete files that no result and no artifact of a run names any more, in the folder or the bucket that the settings name, and incomplete ones that "
        "were left behind. Without --yes it only shows how many and how much. Servers do it by themselves once a night."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", type=float, default=cleaning.OLDER_THAN / HOUR, metavar="HOURS",
            help="only files that are stored for longer than this (default: %(default)g)",
        )  # fmt: skip
        parser.add_argument("--yes", action="store_true", help="delete the files")

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["older_than"]
        if not 0 <= hours < 1e6:
            raise CommandError(f"--older-than is {hours:g}: expected hours, 0 or more")
        with as_command_errors(), Bar("files") as bar:
            found = cleaning.clean(hours * HOUR, bar) if options["yes"] else cleaning.plan(hours * HOUR)
            where = storage.store().where
        verb = "were" if options["yes"] else "would be"
        self.stdout.write(
            f"{found.contents:,} contents, {found.bytes / 1e6:,.1f} MB, that nothing names, and {found.incomplete:,} incomplete "
            f"files {verb} deleted in {where}."
        )
        if not options["yes"]:
            self.stdout.write("Nothing was changed. To do it, add --yes.")
