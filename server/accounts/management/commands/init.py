"""``manage.py init``: create the tables, the first admin and their token."""

import getpass
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from server.accounts import passwords, tokens, users
from server.accounts.models import Token
from server.config import PREFIX
from server.core.command_errors import as_command_errors
from server.core.db import migrating
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid

ROLE = "admin"
TOKEN_NAME = "first token"  # noqa: S105 - a name, not a secret
TRIES = 3

DONE = """\
There is already an admin, {admin}: nothing was changed. To create another token, run `manage.py create_token {admin}`.
"""
MADE = """\
{admin} is the first admin and can sign in with their password at http://{bind}/login/.
The line on standard output is the secret of their token {number}, for {scopes}. It is shown only once: keep it like a
password.

    curl -H "Authorization: Bearer <the token>" http://{bind}/api/v1/me/
"""


class Command(BaseCommand):
    help = (
        "Create the tables and the first admin, and print a token of theirs. Asks for name and password on the terminal, "
        f"unless {PREFIX}ADMIN_USER and {PREFIX}ADMIN_PASSWORD_FILE are set. If there is already an admin, it changes nothing."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        made = None
        with as_command_errors(f"check {PREFIX}DATABASE_URL"):
            with migrating.migration_lock(settings.TAILRACE):
                migrating.migrate()
                admin = _admin()
            if admin is None:
                name, password = self._ask()  # without the lock, which other processes may wait for
                with migrating.migration_lock(settings.TAILRACE):
                    admin = _admin()
                    made = None if admin is not None else _make(name, password)
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

    def _ask(self) -> tuple[str, str]:
        """Return name and password of the first admin, from the settings or from the terminal."""
        name, path = settings.TAILRACE.admin_user, settings.TAILRACE.admin_password_file
        missing = [f"{PREFIX}ADMIN_USER"] * (not name) + [f"{PREFIX}ADMIN_PASSWORD_FILE"] * (path is None)
        if missing and not sys.stdin.isatty():
            raise CommandError(
                f"there is no admin yet, and standard input is not a terminal: set {' and '.join(missing)}"
            )
        try:
            if not name:
                own = getpass.getuser()
                name = input(f"Name of the first admin [{own}]: ").strip() or own
            return name, _read(path) if path is not None else self._password_for(name)
        except EOFError:
            raise CommandError("nothing was entered: no admin was created") from None

    def _password_for(self, name: str) -> str:
        """Return a password that was typed twice and follows the rules."""
        for _ in range(TRIES):
            password = getpass.getpass("Password: ")
            try:
                passwords.check_new(password, User(username=name))
            except Invalid as exc:
                self._say(exc.message + "\n")
                continue
            if getpass.getpass("Password (again): ") == password:
                return password
            self._say("the passwords don't match\n")
        raise CommandError("no password was set: no admin was created")

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str, ending="")


def _admin() -> str | None:
    """Return the name of the oldest active admin; None if there is none."""
    admins = User.objects.filter(Q(is_superuser=True) | Q(groups__name=ROLE), is_active=True)
    return admins.order_by("pk").values_list("username", flat=True).first()


def _make(name: str, password: str) -> tuple[Token, str]:
    """Create the admin and their token in one transaction; return the token and its secret."""
    try:
        with transaction_for_writing():
            return tokens.create(users.create(name, ROLE, password), TOKEN_NAME)
    except Conflict as exc:
        raise CommandError(f"{exc.message}, who is not an admin: set {PREFIX}ADMIN_USER to another name") from exc


def _read(path: Path) -> str:
    """Return the password in a file, without the final line break."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise CommandError(f"{PREFIX}ADMIN_PASSWORD_FILE={path}: {reason}") from exc
