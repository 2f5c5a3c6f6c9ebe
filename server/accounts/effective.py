"""The settings that are in force, as an admin may see them: secrets hidden."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from django.conf import settings
from pydantic.fields import FieldInfo

from server.config import PREFIX

HIDDEN = "(hidden)"
_SECRET = ("secret", "password", "passwd", "token", "key", "credential")


def shown() -> list[dict[str, Any]]:
    """Each setting's name, value, default and description, in the order of ``docs/settings.md``."""
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
    """Hidden: fields that say so (``repr=False``), and those whose name sounds like a secret unless they name a file."""
    sounds = any(word in name for word in _SECRET) and not isinstance(value, (bool, int, float, Path))
    if value and (not field.repr or sounds):
        return HIDDEN
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return _plain(value)


def without_password(url: str) -> str:
    """A URL whose password is hidden, in front of its host as among its parameters."""
    try:
        parts = urlsplit(url)
        userinfo, at, host = parts.netloc.rpartition("@")
        user, colon, _ = userinfo.partition(":")
        query = [(name, HIDDEN if _is_secret(name) else value) for name, value in parse_qsl(parts.query, True)]
    except ValueError:
        return HIDDEN
    if not at and "@" in url:  # a password with a '/', '?' or '#' in it: no telling where it ends
        return HIDDEN
    netloc = f"{user}{colon}{HIDDEN if colon else ''}{at}{host}"
    parameters = urlencode(query, quote_via=quote, safe="()/")
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if parameters else ''}{parameters}"


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
