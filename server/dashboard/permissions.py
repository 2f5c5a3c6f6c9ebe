"""Descriptions of permissions and scopes."""

from django.contrib.auth.models import User

from server.accounts import roles
from server.accounts.models import Access

WORDS: dict[str, str] = dict(Access._meta.permissions)
"""Description of each permission, by codename."""

SCOPES = {
    "learn": "Post observations and labels",
    "predict": "Ask for predictions",
    "read": "Read streams, models, metrics and events",
    "manage": "Create, change and delete streams, models, tokens and users",
    "create": "Create a stream by posting to a name that doesn't exist",
}
"""Description of each scope of a token."""


def described(user: User) -> list[str]:
    """Return descriptions of a user's permissions."""
    held = roles.permissions_of(user.pk, is_superuser=user.is_superuser)
    return [words for codename, words in WORDS.items() if codename in held]
