"""The current request, for the audit log."""

from contextvars import ContextVar

from django.http import HttpRequest

request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)
"""The request that this thread handles; None in commands and in background maintenance."""
