"""The line that says where the server serves. It is printed once the server accepts connections."""

from server import config
from server.runtime import logs

_lines: list[str] = []


def prepare(settings: config.Config) -> None:
    """Set the line that :func:`announce` prints."""
    _lines[:] = [
        f"Tailrace serves on http://{settings.bind}/ with {settings.server}, {settings.workers} × {settings.threads} threads, "
        f"{'open to all' if settings.auth == 'open' else 'tokens required'}; docs at http://{settings.bind}/api/v1/docs/"
    ]


def announce() -> None:
    """Print the line, the first time that this is called."""
    while _lines:
        print(logs.line(_lines.pop()), flush=True)
