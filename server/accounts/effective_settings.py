"""The settings in force, with secrets hidden, for admins."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from django.conf import settings
from pydantic.fields import FieldInfo

from server.config import PREFIX

HIDDEN = "(hidden)"
_SECRET = ("secret", "password", "passwd", "token", "key", "credential")


def all_settings() -> list[dict[str, Any]]:
    """Return name, value, default and description of each setting, in the order of ``docs/reference/settings.md``."""
    config = settings.TAILRACE
    return [
        {
            "name": PREFIX + name.upper(),
            "value": _value(name, field, getattr(config, name)),
            "default": _plain(field.default),
            "description": field.description or "",
        }
        for name, field in type(config).model_fields.items()
    ]


def _value(name: str, field: FieldInfo, value: Any) -> Any:
    """Return the value of a setting, hidden if it is a secret.

    Secrets are fields with ``repr=False``, and fields whose name contains a word such as ``password``, except file names.
    """
    sounds = any(word in name for word in _SECRET) and not isinstance(value, (bool, int, float, Path))
    if value and (not field.repr or sounds):
        return HIDDEN
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return _plain(value)


def without_password(url: str) -> str:
    """Return a URL with passwords hidden, both before the host and in the query."""
    try:
        parts = urlsplit(url)
        userinfo, at, host = parts.netloc.rpartition("@")
        user, colon, _ = userinfo.partition(":")
        query = [(name, HIDDEN if _is_secret(name) else value) for name, value in parse_qsl(parts.query, True)]
    except ValueError:
        return HIDDEN
    if not at and "@" in url:  # the password contains '/', '?' or '#', so its end can't be found
        return HIDDEN
    netloc = f"{user}{colon}{HIDDEN if colon else ''}{at}{host}"
    parameters = urlencode(query, quote_via=quote, safe="()/")
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if parameters else ''}{parameters}"


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
