"""How far a run of the tests is, and how long it will take: seconds of each test, from the runs before or guessed."""

import json
import os
import time
from collections import defaultdict
from pathlib import Path

import pytest

SECONDS_KEY = "tailrace/seconds-" + os.environ.get("TAILRACE_TEST_ON", "sqlite")
KEEP = 0.2
"""Seconds of a test that is worth remembering."""

SHORT = 30
"""Seconds of a run that is reported by pytest's dots."""

EVERY_ON_TERMINAL = 1
EVERY = 60
"""Seconds between two lines where the output is not a terminal."""


def learned(config: pytest.Config) -> dict[str, float]:
    """Seconds of the slow tests of earlier runs; each process of a run has the same."""
    given = getattr(config, "workerinput", {}).get("seconds")
    if given is not None:
        return given  # type: ignore[no-any-return]
    cache = getattr(config, "cache", None)
    return (cache.get(SECONDS_KEY, None) or {}) if cache else {}


def expect(seconds: dict[str, float]) -> None:
    """Write down what each test will take, for the process that reports. All that run tests know the same: one writes it."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        _expected().write_text(json.dumps(seconds))


def _expected() -> Path:
    return Path(os.environ["TAILRACE_TEST_DIR"]) / "expected-seconds.json"


def left(seconds: float) -> str:
    """A time that is left, as people say it."""
    return (
        f"about {seconds / 60:.0f} min" if seconds > 90 else "about a minute" if seconds > 40 else "less than a minute"
    )


class Progress:
    """Reports in one line how far a run is. It replaces pytest's dots in a run that takes longer than :data:`SHORT`."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.processes = max(1, len(getattr(config.option, "tx", None) or ()))
        self.expected: dict[str, float] | None = None
        self.total = self.done = 0.0
        self.finished = self.failed = 0
        self.took: defaultdict[str, float] = defaultdict(float)
        self.begun = self.told = 0.0
        self.active = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput["seconds"] = learned(self.config)  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.expected is None:
            self.expected = json.loads(_expected().read_text())
            self.total = sum(self.expected.values())
            self.begun = self.told = time.monotonic()
            self.active = self.total / self.processes > SHORT and self.config.get_verbosity() < 0
            if self.active:
                self._write(f"{len(self.expected):,} tests, {left(self.total / self.processes)}\n")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letter for a test: what failed has a line of its own."""
        if not self.active or hasattr(report, "wasxfail"):
            return None
        if report.failed:
            return ("failed", "", "FAILED") if report.when == "call" else ("error", "", "ERROR")
        if report.skipped:
            return "skipped", "", ""
        return ("passed" if report.when == "call" else ""), "", ""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] += report.duration
        if report.failed:
            self.failed += 1
            if self.active:
                self._write(f"FAILED {report.nodeid}\n")
        if report.when != "teardown":
            return
        self.finished += 1
        self.done += (self.expected or {}).get(report.nodeid, 0)
        now = time.monotonic()
        if self.active and now - self.told >= (EVERY_ON_TERMINAL if self._on_terminal() else EVERY):
            self.told = now
            self._write(self.line(now - self.begun), ends=not self._on_terminal())

    def line(self, elapsed: float) -> str:
        """What is left is guessed from what it took so far, after a while."""
        remaining = max(self.total - self.done, 0)
        pace = elapsed / self.done if self.done > self.total / 20 else 1 / self.processes
        failed = f", {self.failed} failed" if self.failed else ""
        count = len(self.expected or ())
        percent = 100 * self.done / self.total if self.total else 0
        return f"{percent:.0f} %, {left(remaining * pace)} left ({self.finished:,} of {count:,} tests{failed})"

    def pytest_sessionfinish(self) -> None:
        cache = getattr(self.config, "cache", None)
        if cache is not None and self.took:
            kept = {name: seconds for name, seconds in learned(self.config).items() if name not in self.took}
            kept |= {name: round(seconds, 1) for name, seconds in self.took.items() if seconds >= KEEP}
            cache.set(SECONDS_KEY, kept)

    def _on_terminal(self) -> bool:
        return self._reporter().isatty

    def _reporter(self) -> pytest.TerminalReporter:
        found = self.config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(found, pytest.TerminalReporter)
        return found

    def _write(self, text: str, *, ends: bool = False) -> None:
        reporter = self._reporter()
        if self._on_terminal():
            reporter.rewrite(text, erase=True)
        else:
            reporter.write(text + ("\n" if ends else ""), flush=True)
