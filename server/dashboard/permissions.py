"""Permissions in words."""

from django.contrib.auth.models import User

from server.accounts import roles
from server.accounts.models import Access

WORDS: dict[str, str] = dict(Access._meta.permissions)
"""Codename to what it lets a user do."""

SCOPES = {
    "learn": "Post observations and labels",
    "predict": "Ask for predictions",
    "read": "Read streams, models, metrics and events",
    "manage": "Make, change and delete streams, models, tokens and users",
    "create": "Make a stream by posting to a name that isn't there",
}
"""What a token of each scope may do, as far as its owner may."""


def described(user: User) -> list[str]:
    """What a user may do, a line each."""
    held = roles.permissions_of(user.pk, is_superuser=user.is_superuser)
    return [words for codename, words in WORDS.items() if codename in held]
