"""Passwords, guessed at: who fails too often for a user from an address is locked out there for a while.

Only passwords are counted. Tokens never come this way, so nobody can lock out another's jobs; and a lock-out holds for one
address, so nobody can lock out another person elsewhere. The counts are in the database and hold for all workers.
"""

import logging
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.utils import reset
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.http import HttpRequest

from server.accounts import addresses
from server.streams import changes
from server.streams.locks import transaction_for_writing

logger = logging.getLogger(__name__)

LONGEST_NAME = 150


class Passwords(AxesStandaloneBackend, ModelBackend):
    """Django's backend for passwords, behind the lock-out. It is asked about passwords alone: sign-ins of other kinds
    give no ``username`` and pass it by."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest, username: str, password: str, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """The user, or None; ``PermissionDenied``, which ends the asking, where they are locked out."""
        if "\x00" in username or len(username) > LONGEST_NAME:
            return None  # no user's name, and no database would take it
        super().authenticate(request, username=username, password=password)
        user = ModelBackend.authenticate(self, request, username=username, password=password)
        if user is not None:
            forgive(user.get_username(), address_of(request))
        return user


class Handler(AxesDatabaseHandler):
    """Counts failures, and tells the audit trail of those that were for a user whom there is.

    Of others the log has a line without the name: it may be a password that was typed into the wrong field, and names
    can be made up faster than a trail should grow.
    """

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        username = credentials.get("username")
        if request is None or not isinstance(username, str) or "\x00" in username or len(username) > LONGEST_NAME:
            return
        was_locked_out = is_locked_out(request)
        super().user_login_failed(sender, credentials, request, **kwargs)
        if was_locked_out:
            return
        address = addresses.of(request)
        if not User.objects.filter(username=username).exists():
            logger.warning("a sign-in from %s failed: nobody has the name that was given", address)
            return
        logger.warning("a sign-in of %s from %s failed", username, address)
        with transaction_for_writing():
            changes.tell("login.failed", username)
            if is_locked_out(request):
                minutes = settings.TAILRACE.login_cooloff_minutes
                changes.tell("login.locked", username, after={"address": address, "minutes": minutes})


def is_locked_out(request: HttpRequest) -> bool:
    """Whether :func:`django.contrib.auth.authenticate` found this request's user locked out, or locked them out."""
    return bool(getattr(request, "axes_locked_out", False))


def forgive(username: str, address: str | None = None) -> None:
    """Forget a user's failures, from one address or from all."""
    with transaction_for_writing():
        reset(username=username, ip=address)


def address_of(request: HttpRequest) -> str | None:
    """What failures are counted by (:func:`server.accounts.addresses.site`); None if the server doesn't know."""
    return addresses.site(request) or None
