"""Log lines about refused requests are limited; how many were dropped is logged."""

import logging

import pytest

from server.runtime import log_limits
from server.runtime.log_limits import LimitedLines

pytestmark = pytest.mark.one_database


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch):
    """A logger with the filter, the lines that it writes, and a clock that the test sets."""
    logger = logging.getLogger("tests.limited")
    logger.setLevel(logging.INFO)
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    limit = LimitedLines()
    logger.addFilter(limit)
    logger.addHandler(handler)
    clock = [1000.0]
    monkeypatch.setattr(log_limits.time, "monotonic", lambda: clock[0])
    yield logger, found, clock
    logger.removeFilter(limit)
    logger.removeHandler(handler)


def test_lines_beyond_the_limit_are_dropped_and_counted(lines):
    logger, found, clock = lines
    for n in range(log_limits.MOST + 25):
        logger.info("refused %d", n)
    assert found == [f"refused {n}" for n in range(log_limits.MOST)]
    clock[0] += log_limits.WINDOW
    logger.info("refused again")
    assert found[log_limits.MOST :] == [
        "25 lines about refused requests were not logged in the last 10 s; the metrics count all requests",
        "refused again",
    ]


def test_warnings_and_errors_are_never_dropped(lines):
    logger, found, _ = lines
    for n in range(log_limits.MOST):
        logger.info("refused %d", n)
    logger.error("failed")
    assert found[-1] == "failed"


def test_the_logger_of_refusals_has_the_limit():
    assert any(isinstance(one, LimitedLines) for one in logging.getLogger("server.api.errors").filters)
