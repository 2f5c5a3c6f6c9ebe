"""Log lines, without credentials: whatever put one into a line (a URL, a malformed header, a driver's message), it is
taken out as the line is written.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from gunicorn import glogging

from server import config
from server.streams.printable import encodable

LONGEST = 50_000
"""Characters of one line, or of one traceback."""

_CREDENTIALS = [
    (re.compile(r"\b(tr[cr]_)\w{8,}"), r"\1…"),  # tokens, refresh tokens
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), "eyJ…"),  # JSON Web Tokens
    (re.compile(r"(?i)\b(bearer|basic|token)(?:\s+|%20)[^\s,;'\"]{12,}"), r"\1 …"),
    (re.compile(r"\b(tailrace-session|tailrace-csrf|tailrace_refresh)(=|': ')[^\s;,'\"]+"), r"\1\2…"),
    (re.compile(r"(://[^/\s:@]*:)[^\s/@]+@"), r"\1…@"),  # the password in a URL
    (re.compile(r"[A-Za-z0-9+]{41,}"), "…"),  # no word and no name is that long; secrets and their encodings are
]


def scrubbed(text: str) -> str:
    """The text without the credentials that can be recognised."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return text


def clean(text: str) -> str:
    """The text as the log may hold it: scrubbed, no longer than :data:`LONGEST`, and such as can be written."""
    return scrubbed(encodable(text, LONGEST))


class Line(logging.Formatter):
    """One log line, or one with its traceback, scrubbed."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


class JsonLine(logging.Formatter):
    """One log line as a JSON object, whatever is in it; each of its strings is scrubbed before it is encoded."""

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


class OfRequest(logging.Filter):
    """Gives each line the id of the request that its thread answers, if it answers one."""

    def filter(self, record: logging.LogRecord) -> bool:
        from server.accounts import actor  # gunicorn and granian read this module before there is a Django

        request = actor.request.get()
        record.request_id = None if request is None else getattr(request, "request_id", None)
        return True


def formatter(fmt: str | None = None, datefmt: str | None = None) -> logging.Formatter:
    """What writes lines as ``TAILRACE_LOG_FORMAT`` says; ``fmt`` and ``datefmt`` are for text."""
    return JsonLine() if config.load().log_format == "json" else Line(fmt, datefmt)


def line(message: str) -> str:
    """A message as a log line, for what is said before there is a log."""
    record = logging.LogRecord("server", logging.INFO, "", 0, message, None, None)
    return formatter("%(message)s").format(record)


class GunicornLogger(glogging.Logger):
    """gunicorn's own lines, in its own form or as JSON, scrubbed."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                form = handler.formatter
                if form is not None:
                    handler.setFormatter(formatter(form._fmt, form.datefmt))
