"""Versions of the server and of what it runs on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from django.conf import settings


def build() -> dict[str, str]:
    """Return version of Tailrace and Python, WSGI server, and kind of database."""
    return {
        "version": version("tailrace"),
        "python": platform.python_version(),
        "server": settings.TAILRACE.server,
        "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
    }


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that matter most to results and to operation."""
    found: dict[str, str] = {}
    for name in ("Django", "river", "numpy", "scipy", settings.TAILRACE.server):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
