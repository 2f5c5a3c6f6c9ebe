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
from server.accounts.models import Token
from server.config import PREFIX
from server.streams.errors import Conflict, Invalid, TailraceError
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
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        made = None
        try:
            with database.alone(settings.TAILRACE):
                database.migrate()
                admin = _admin()
            if admin is None:
                name, password = self._asked()  # while nobody waits for us
                with database.alone(settings.TAILRACE):
                    admin = _admin()
                    made = None if admin is not None else _make(name, password)
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            reason = " ".join(str(exc).split())
            raise CommandError(f"the database can't be used: {reason}; check {PREFIX}DATABASE_URL") from exc
        if made is None:
            self._say(DONE.format(admin=admin))
            return
        token, secret = made
        self.stdout.write(secret)
        self._say(
            MADE.format(
                admin=name, number=token.pk, scopes=", ".join(token.scopes), bind=settings.TAILRACE.reachable_at
            )
        )

    def _asked(self) -> tuple[str, str]:
        """The first admin's name and password, from the settings or else from whoever sits at the terminal."""
        name, path = settings.TAILRACE.admin_user, settings.TAILRACE.admin_password_file
        missing = [f"{PREFIX}ADMIN_USER"] * (not name) + [f"{PREFIX}ADMIN_PASSWORD_FILE"] * (path is None)
        if missing and not sys.stdin.isatty():
            raise CommandError(f"there is no admin yet, and no terminal to ask on: set {' and '.join(missing)}")
        try:
            if not name:
                own = getpass.getuser()
                name = input(f"Name of the first admin [{own}]: ").strip() or own
            return name, _read(path) if path is not None else self._password_for(name)
        except EOFError:
            raise CommandError("nothing was entered, so no admin was made") from None

    def _password_for(self, name: str) -> str:
        """A password that was typed twice and keeps to the rules."""
        for _ in range(TRIES):
            password = getpass.getpass("Password: ")
            try:
                passwords.check_new(password, User(username=name))
            except Invalid as exc:
                self._say(exc.message + "\n")
                continue
            if getpass.getpass("Once more: ") == password:
                return password
            self._say("these were two different passwords\n")
        raise CommandError("no password was set, so no admin was made")

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str, ending="")


def _admin() -> str | None:
    """The name of the active admin who has been there longest; None if there is none."""
    admins = User.objects.filter(Q(is_superuser=True) | Q(groups__name=ROLE), is_active=True)
    return admins.order_by("pk").values_list("username", flat=True).first()


def _make(name: str, password: str) -> tuple[Token, str]:
    """The admin, and a token of theirs with its secret: both or neither."""
    try:
        with transaction_for_writing():
            return tokens.create(users.create(name, ROLE, password), TOKEN_NAME)
    except Conflict as exc:
        raise CommandError(f"{exc.message}, who is no admin: set {PREFIX}ADMIN_USER to another name") from exc


def _read(path: Path) -> str:
    """The password in a file, without the end of its line."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it isn't text in UTF-8"
        raise CommandError(f"{PREFIX}ADMIN_PASSWORD_FILE={path}: {reason}") from exc
