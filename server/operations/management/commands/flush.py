"""``manage.py flush``: refused on the command line, because Django's command deletes all data."""

from typing import NoReturn

from django.core.management.commands import flush


class Command(flush.Command):
    help = "Refused: it would delete every stream, model, user and token."

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        self.stderr.write(
            "CommandError: this would delete every stream, model, user and token; nothing was changed. To deliver a spool, run "
            "`tailrace flush`. To start with an empty database, stop the server and remove its directory or drop its database"
        )
        raise SystemExit(2)
