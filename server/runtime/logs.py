"""Formatting of log lines, without credentials.

A credential may get into a line by a URL, a malformed header or a message of a driver. It is removed when the line is written.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from gunicorn import glogging

from server import config
from server.core.printable import encodable

LONGEST = 50_000
"""Largest number of characters of one line, or of one traceback."""

_CREDENTIALS = [
    (re.compile(r"\b(tr[cr]_)\w{8,}"), r"\1…"),  # tokens, refresh tokens
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), "eyJ…"),  # JSON Web Tokens
    (re.compile(r"(?i)\b(bearer|basic|token)(?:\s+|%20)[^\s,;'\"]{12,}"), r"\1 …"),
    (re.compile(r"\b(tailrace-session|tailrace-csrf|tailrace_refresh)(=|': ')[^\s;,'\"]+"), r"\1\2…"),
    (re.compile(r"(://[^/\s:@]*:)[^\s/@]+@"), r"\1…@"),  # the password in a URL
    (re.compile(r"[A-Za-z0-9+]{41,}"), "…"),  # longer than any word or name, as secrets and their encodings are
]


def scrubbed(text: str) -> str:
    """Return the text without recognizable credentials."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return text


def clean(text: str) -> str:
    """Return the text for the log: without credentials, at most :data:`LONGEST` characters, and encodable."""
    return scrubbed(encodable(text, LONGEST))


class Line(logging.Formatter):
    """Formats a log line, with its traceback if any, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


class JsonLine(logging.Formatter):
    """Formats a log line as a JSON object, without credentials in any of its strings."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
            "request_id": getattr(record, "request_id", None),
            **getattr(record, "said", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)
        told = {
            name: clean(value) if isinstance(value, str) else value for name, value in said.items() if value is not None
        }
        return json.dumps(told, ensure_ascii=False, default=str)


class RequestIdFilter(logging.Filter):
    """Adds the ID of the request that the thread handles to each line, if any."""

    def filter(self, record: logging.LogRecord) -> bool:
        from server.accounts import (
            current_request,
        )  # gunicorn and granian import this module before Django is configured

        request = current_request.request.get()
        record.request_id = None if request is None else getattr(request, "request_id", None)
        return True


def formatter(fmt: str | None = None, datefmt: str | None = None) -> logging.Formatter:
    """Return the formatter for ``TAILRACE_LOG_FORMAT``. ``fmt`` and ``datefmt`` are for text."""
    return JsonLine() if config.load().log_format == "json" else Line(fmt, datefmt)


def line(message: str) -> str:
    """Format a message as a log line, before logging is configured."""
    record = logging.LogRecord("server", logging.INFO, "", 0, message, None, None)
    return formatter("%(message)s").format(record)


class GunicornLogger(glogging.Logger):
    """gunicorn's own log lines, in its format or as JSON, without credentials."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                form = handler.formatter
                if form is not None:
                    handler.setFormatter(formatter(form._fmt, form.datefmt))
