"""Open pages: what a browser asks of a server while pages are open on it, without a browser's own work.

``python -m bench.pages open URL MODEL PAGES SECONDS`` keeps pages of a model open, each asking for what came since, as
``charts.js`` does. ``python -m bench.pages queries PATH ...`` prints the number of queries of each page as JSON; it takes its
settings from the environment, as the server does.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bench.errors import BenchError
from bench.servers import ROOT

LEAST_WAIT = 2.0
"""Seconds between two questions of one chart, unless the server asks for more (``charts.js``)."""

WAIT = "X-Tailrace-Wait"
CHARTS = ("error", "values")
"""Charts of a model's page that grow."""


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    """Return a page; errors as those of :func:`_asked`."""
    return _asked(connection, path, {})[0]


def _asked(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> tuple[bytes, float]:
    """Return a page, and how long to wait before the next question.

    Raises
    ------
    BenchError
        If it is not answered with 200 or 204.
    """
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 204):
        raise BenchError(f"GET {path} answered {answer.status}: {content[:300].decode(errors='replace')}")
    return content, max(LEAST_WAIT, float(answer.getheader(WAIT) or 0))


def connect(url: str) -> http.client.HTTPConnection:
    """Return a connection that is kept open."""
    address = urllib.parse.urlsplit(url)
    assert address.hostname is not None
    return http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def timed(url: str, paths: Sequence[str]) -> list[float]:
    """Return how long each page took, in ms, one after the other. The first warms up and doesn't count."""
    connection = connect(url)
    found = []
    for path in paths:
        began = time.perf_counter()
        get(connection, path)
        found.append(1e3 * (time.perf_counter() - began))
    return found[1:]


def keep_open(url: str, model: str, pages: int, seconds: float) -> int:
    """Open pages of a model and follow their charts. Return the number of answers."""
    ends = time.monotonic() + seconds
    answers: list[int] = []
    failed: list[BaseException] = []

    def follow(delay: float) -> None:
        try:
            time.sleep(delay)  # people don't open their pages at the same moment
            connection = connect(url)
            charts = {}
            for chart in CHARTS:
                path = f"/models/{model}/charts/{chart}/"
                charts[path] = json.loads(get(connection, path))
            count = len(charts)
            waits = dict.fromkeys(charts, LEAST_WAIT)
            due = {path: time.monotonic() + LEAST_WAIT for path in charts}
            while time.monotonic() < ends:
                path = min(due, key=lambda one: due[one])
                time.sleep(max(0.0, due[path] - time.monotonic()))
                shown = charts[path]
                x, width = shown["x"], shown["stands_for"]
                after = (x[-2] if width > 1 else x[-1]) if len(x) > 1 else 0
                query = f"?after={after}&stands_for={width}"
                content, wait = _asked(connection, path + query, {WAIT: str(waits[path])})
                news = json.loads(content)
                waits[path], due[path] = wait, time.monotonic() + wait
                shown["x"] = [n for n in x if n <= after] + news["x"]
                count += 1
            answers.append(count)
        except BaseException as exc:
            failed.append(exc)
            raise

    threads = [threading.Thread(target=follow, args=(LEAST_WAIT * page / pages,)) for page in range(pages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise BenchError(f"{len(failed)} of {pages} pages failed, the first with: {failed[0]}")
    return sum(answers)


@contextmanager
def opened(url: str, model: str, pages: int) -> Iterator[None]:
    """Pages that are open, in a process of their own."""
    command = [sys.executable, "-m", "bench.pages", "open", url, model, str(pages), "3600"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        time.sleep(2 * LEAST_WAIT + 1)  # all are open, and know how long to wait
        if process.poll() is not None:
            raise BenchError(f"the pages of {model} could not be opened")
        yield
        if process.poll() is not None:
            raise BenchError(f"a page of {model} failed while it was open")
    finally:
        process.kill()
        process.wait()


def all_at_once(url: str, paths: Sequence[str]) -> list[float]:
    """Return how long each of these pages took, in ms, when all are asked for at the same moment."""
    found: list[float] = []
    failed: list[BaseException] = []
    begin = threading.Barrier(len(paths))

    def ask(path: str) -> None:
        try:
            connection = connect(url)
            begin.wait()
            began = time.perf_counter()
            get(connection, path)
            found.append(1e3 * (time.perf_counter() - began))
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise BenchError(f"{len(failed)} of {len(paths)} pages failed, the first with: {failed[0]}")
    return found


def queries(environ: Mapping[str, str], paths: Sequence[str]) -> dict[str, int]:
    """Return the number of database queries of each page, on the database that these settings name.

    Raises
    ------
    BenchError
        If a page fails.
    """
    command = [sys.executable, "-m", "bench.pages", "queries", *paths]
    done = subprocess.run(command, cwd=ROOT, env=dict(environ), capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"queries were not counted: {done.stderr.strip()[-800:]}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _counted(paths: Sequence[str]) -> dict[str, int]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "server.settings"
    import django

    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(HTTP_HOST="127.0.0.1")
    found = {}
    for path in paths:
        client.get(path)  # what a process reads once doesn't count
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(path)
            if answer.status_code != 200:
                sys.exit(f"GET {path} answered {answer.status_code}")
            found[path] = len(captured)
    return found


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "queries":
        print(json.dumps(_counted(given)))
    else:
        print(keep_open(given[0], given[1], int(given[2]), float(given[3])))
