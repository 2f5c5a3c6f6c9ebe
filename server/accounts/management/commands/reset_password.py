"""``manage.py reset_password``: give a user a new password."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from server.accounts import users
from server.core.command_errors import as_command_errors


class Command(BaseCommand):
    help = (
        "Give a user a random new password, and print it once. All of their sign-ins end; their tokens still work. "
        "For a person who can't sign in, where no moderator can help."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="name of the user")

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            password = users.reset_password(users.find(options["user"]))
        self.stdout.write(password)
