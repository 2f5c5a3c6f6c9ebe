"""A real Chromium and real servers: pages as people see them.

A test takes :func:`open_page` (or :func:`browser_page`, one page in the light theme) and calls :func:`checked` on what it
sees. Whatever a page writes to the console as an error, blocks by its policy or asks of another host fails the test.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.serving import Server, fresh_database

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-unsafe-swiftshader"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": WIDE},
    "narrow": {"color_scheme": "light", "viewport": NARROW},
}
"""Options of a browser's context, by name of a look."""

_PATIENCE = 15_000
_WIDEST = """[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth)
    .slice(-3).map(e => e.outerHTML.slice(0, 200))"""
_SCREENSHOTS = os.environ.get("TAILRACE_TEST_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of a module. In CI it has to be there.

    It ends with the module: while Playwright runs, Django refuses to use a database in the same thread.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed, and CI is set: .ci/run installs it")
        pytest.skip("chromium is not installed (Debian: apt-get install chromium fonts-dejavu-core)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def start_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts a server that the tests of a module share; keyword arguments are settings."""
    servers: list[Server] = []
    with contextlib.ExitStack() as databases:

        def start(**settings: Any) -> Server:
            directory = tmp_path_factory.mktemp("site") / "var"
            database = databases.enter_context(fresh_database("browser"))
            servers.append(Server(directory, database, **{"workers": 1, "threads": 8, **settings}))
            return servers[-1].start()

        yield start
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def until(page: Any, condition: str, arg: Any = None) -> None:
    """Wait until a condition holds on a page.

    ``page.wait_for_function`` is stopped by the pages' policy wherever the condition doesn't hold at once: from the second time
    on, the page itself would have to evaluate a text.
    """
    ends = time.monotonic() + _PATIENCE / 1000
    while not page.evaluate(condition, arg):
        assert time.monotonic() < ends, f"{page.url}: never {condition}"
        page.wait_for_timeout(50)


class Problems:
    """What a page must not do, as it happens."""

    def __init__(self, context: Any, origin: str) -> None:
        self.found: list[str] = []
        self._origin = origin
        context.on("console", self._said)
        context.on("weberror", lambda error: self.found.append(f"uncaught: {error.error}"))
        context.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and "GL Driver Message" not in message.text:  # slow, as it is software
            self.found.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob", "about") and f"{url.scheme}://{url.netloc}" != self._origin:
            self.found.append(f"external request: {request.url}")

    def forget(self, part: str) -> None:
        """Take out expected ones, such as an answer 404 that a test asks for."""
        self.found = [problem for problem in self.found if part not in problem]


@pytest.fixture
def open_page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens a page of a server in a browser of its own: ``open_page(site, "/", look="dark")``.

    ``page.problems`` has what went wrong on it so far; anything left there at the end fails the test.
    """
    opened: list[tuple[Any, Any]] = []

    def open_one(site: Server, path: str = "/", look: str = "light", **options: Any) -> Any:
        context = chromium.new_context(
            base_url=site.url, timezone_id="Europe/Berlin", reduced_motion="reduce", **{**LOOKS[look], **options}
        )
        context.set_default_timeout(_PATIENCE)
        problems = Problems(context, site.url)
        page = context.new_page()
        page.problems = problems
        opened.append((context, page))
        page.goto(path)
        return page

    yield open_one
    for number, (context, page) in enumerate(opened):
        if _SCREENSHOTS:
            name = request.node.name.replace("/", "_").replace("[", "-").rstrip("]")
            page.screenshot(path=str(Path(_SCREENSHOTS) / f"{name}-{number}.png"), full_page=True)
        context.close()
    assert [problem for _, page in opened for problem in page.problems.found] == []


@pytest.fixture
def browser_page(open_page: Callable[..., Any], site: Server) -> Any:
    """The first page of the module's ``site``, light and wide."""
    return open_page(site)


@pytest.fixture(scope="session")
def checked() -> Callable[[Any], Any]:
    """Checks a page: no violation that axe-core finds, no problem, and nothing that is wider than the window.

    Options are those of axe-core, such as the rules to run.
    """
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()

    def check(page: Any, **options: Any) -> Any:
        found = axe.run(page, options=options or None).response["violations"]
        violations = [
            f"{one['id']} ({one['impact']}): {node['html'][:300]}: {node['failureSummary']}"
            for one in found
            for node in one["nodes"][:5]
        ]
        assert violations == [], page.url
        width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], f"{page.url} is {width[0]} px wide in {width[1]} px: {page.evaluate(_WIDEST)}"
        assert page.problems.found == [], page.url
        return page

    return check


@pytest.fixture
def checked_in_every_look(open_page: Callable[..., Any], checked: Callable[..., Any]) -> Callable[..., Any]:
    """Opens a page in the dark, and checks it there, in the light and on a narrow screen; returns it as it is then.

    Its scripts follow the theme and the width of a page that is open, as where somebody turns a telephone. In the light only
    colours are looked at again: nothing else changes with the theme. `ready(page)` waits for what the page loads by itself.
    """

    def check(site: Server, path: str, ready: Callable[[Any], Any] = lambda page: None) -> Any:
        page = open_page(site, path, "dark")
        ready(page)
        checked(page)
        page.emulate_media(color_scheme="light")
        until(page, "document.documentElement.dataset.theme === 'light'")
        checked(page, runOnly={"type": "rule", "values": ["color-contrast", "link-in-text-block"]})
        page.set_viewport_size(NARROW)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return checked(page)

    return check
