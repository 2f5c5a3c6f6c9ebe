"""``manage.py flush``: Django's own deletes all data, and is refused on the command line."""

from typing import NoReturn

from django.core.management.commands import flush


class Command(flush.Command):
    help = "Refused: it would delete every stream, model, user and token."

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        self.stderr.write(
            "CommandError: this would delete every stream, model, user and token, and was not done. To deliver what waits in "
            "a spool: `tailrace flush`. To begin anew: stop the server, and remove its directory or drop its database"
        )
        raise SystemExit(2)
