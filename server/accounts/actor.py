"""Who does what is being done: the request at hand, for those who record changes."""

from contextvars import ContextVar

from django.http import HttpRequest

request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)
"""The request that this thread answers; None in commands and in maintenance."""
