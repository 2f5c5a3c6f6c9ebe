"""Who is calling, as what they make remembers it."""

from django.http import HttpRequest


def name(request: HttpRequest) -> str:
    """The caller's user name; empty where the server asks nobody who they are."""
    identity = getattr(request, "identity", None)
    return "" if identity is None else str(identity.username)
