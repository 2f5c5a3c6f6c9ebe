"""Log lines, without credentials: whatever put one into a line (a URL, a malformed header, a driver's message), it is
taken out as the line is written.
"""

import logging
import re
from typing import Any

from gunicorn import glogging

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


class Line(logging.Formatter):
    """One log line, or one with its traceback, scrubbed."""

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(super().format(record))


class GunicornLogger(glogging.Logger):
    """gunicorn's own lines, in its own form, scrubbed."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                form = handler.formatter
                if form is not None:
                    handler.setFormatter(Line(form._fmt, form.datefmt))
