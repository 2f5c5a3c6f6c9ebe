"""``manage.py init``: a server's first use."""

import getpass
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models import Q

from server import database
from server.accounts import passwords, tokens, users
from server.config import PREFIX
from server.streams.errors import Invalid, TailraceError
from server.streams.locks import transaction_for_writing

ROLE = "admin"
TOKEN_NAME = "first token"  # noqa: S105 - what it is called
TRIES = 3

DONE = """\
There is an admin already, {admin}: nothing was changed. `manage.py create_token {admin}` makes another token.
"""
MADE = """\
{admin} is the first admin, and signs in with their password at http://{bind}/login/.
Their token {number}, for {scopes}, is the line on standard output, shown this once: keep it like a password.

    curl -H "Authorization: Bearer <the token>" http://{bind}/api/v1/me/
"""


class Command(BaseCommand):
    help = (
        "Make the tables and the first admin, and print a token of theirs. Asks for name and password on a terminal, "
        f"unless {PREFIX}ADMIN_USER and {PREFIX}ADMIN_PASSWORD_FILE give them. Where there is an admin, it changes nothing."
    )
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django has it: the tables may not be there yet

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with database.alone(settings.TAILRACE):
                database.migrate()
                admin = _admin()
                if admin is not None:
                    self.stderr.write(DONE.format(admin=admin.username), style_func=str, ending="")
                    return
                user, token, secret = self._make()
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            reason = " ".join(str(exc).split())
            raise CommandError(f"the database can't be used: {reason}; check {PREFIX}DATABASE_URL") from exc
        self.stdout.write(secret)
        self.stderr.write(
            MADE.format(
                admin=user.username,
                number=token.pk,
                scopes=", ".join(token.scopes),
                bind=settings.TAILRACE.bind,
            ),
            style_func=str,
            ending="",
        )

    def _make(self) -> tuple[User, Any, str]:
        name = settings.TAILRACE.admin_user
        path = settings.TAILRACE.admin_password_file
        if not (name and path) and not sys.stdin.isatty():
            missing = " and ".join(
                PREFIX + variable
                for variable, given in (("ADMIN_USER", name), ("ADMIN_PASSWORD_FILE", path))
                if not given
            )
            raise CommandError(f"there is no admin yet, and no terminal to ask on: set {missing}")
        name = name or input(f"Name of the first admin [{getpass.getuser()}]: ").strip() or getpass.getuser()
        password = self._asked(name) if path is None else _read(path)
        with transaction_for_writing():
            user = users.create(name, ROLE, password)
            return user, *tokens.create(user, TOKEN_NAME)

    def _asked(self, name: str) -> str:
        """A password that was typed twice and keeps to the rules."""
        for _ in range(TRIES):
            password = getpass.getpass("Password: ")
            try:
                passwords.check_new(password, User(username=name))
            except Invalid as exc:
                self.stderr.write(exc.message, style_func=str)
                continue
            if getpass.getpass("Once more: ") == password:
                return password
            self.stderr.write("these were two different passwords", style_func=str)
        raise CommandError("no password was set, so no admin was made")


def _admin() -> User | None:
    """The active admin who has been there longest; None if there is none."""
    admins = User.objects.filter(Q(is_superuser=True) | Q(groups__name=ROLE), is_active=True)
    return admins.order_by("pk").first()


def _read(path: Path) -> str:
    """The password in a file, without the end of its line."""
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it isn't text in UTF-8"
        raise CommandError(f"{PREFIX}ADMIN_PASSWORD_FILE={path}: {reason}") from exc
