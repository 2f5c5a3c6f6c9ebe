"""Lockout after repeated wrong passwords, by user and address.

Only passwords count, not tokens, so nobody can lock out the jobs of others. A lockout holds for one address, so nobody can
lock out a person elsewhere. The counts are in the database and hold for all workers.
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
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing

logger = logging.getLogger(__name__)

LONGEST_NAME = 150


class Passwords(AxesStandaloneBackend, ModelBackend):
    """Django's password backend with lockout. Sign-ins of other kinds have no ``username`` and skip it."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest, username: str, password: str, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """Return the user with this password, or None.

        Raises
        ------
        PermissionDenied
            If they are locked out. Django then tries no other backend.
        """
        if "\x00" in username or len(username) > LONGEST_NAME:
            return None  # not a valid user name; PostgreSQL refuses it
        super().authenticate(request, username=username, password=password)
        user = ModelBackend.authenticate(self, request, username=username, password=password)
        if user is not None:
            reset_failures(user.get_username(), address_of(request))
        return user


class Handler(AxesDatabaseHandler):
    """Counts failures, and records those of existing users in the audit trail.

    For other names it only logs a line without the name, because people sometimes type a password into the wrong field, and
    because made-up names would fill the audit trail.
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
        address = addresses.client_address(request)
        if not User.objects.filter(username=username).exists():
            logger.warning("a sign-in from %s failed: there is no user with the given name", address)
            return
        logger.warning("a sign-in of %s from %s failed", username, address)
        with transaction_for_writing():
            audit_signals.send("login.failed", username)
            if is_locked_out(request):
                minutes = settings.TAILRACE.login_cooloff_minutes
                audit_signals.send("login.locked", username, after={"address": address, "minutes": minutes})


def is_locked_out(request: HttpRequest) -> bool:
    """Whether the user is locked out, after :func:`django.contrib.auth.authenticate` ran for this request."""
    return bool(getattr(request, "axes_locked_out", False))


def reset_failures(username: str, address: str | None = None) -> None:
    """Delete the counted failures of a user, from one address or from all."""
    with transaction_for_writing():
        reset(username=username, ip=address)


def address_of(request: HttpRequest) -> str | None:
    """Return the address by which failures are counted (:func:`~server.accounts.addresses.client_network`), or None."""
    return addresses.client_network(request) or None
