"""Tries everything that an agent needs, and says what is missing, one line each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tailrace.agent.agent import job_environment
from tailrace.agent.plugin_process import Plugins
from tailrace.agent.root import Root, RootInUse
from tailrace.agent.site_file import SiteFile, read_site_file, read_token
from tailrace.errors import Forbidden, NotFound, Refused, TailraceError
from tailrace.launchers.queue_kinds import make_queue
from tailrace.transport.server import Server

__all__ = ["Finding", "check_site"]


class Finding:
    """One line of the check.

    Attributes
    ----------
    what
        What was tried.
    text
        What was found, or what is wrong and what to do.
    ok
        Whether it works.
    """

    def __init__(self, what: str, text: str, ok: bool = True) -> None:
        self.what = what
        self.text = text
        self.ok = ok

    def __str__(self) -> str:
        return f"{'ok     ' if self.ok else 'MISSING'}  {self.what}: {self.text}"


def check_site(path: Path) -> Iterator[Finding]:
    """Yields a finding for the site's file, token, server, root, launcher and each program. Nothing is changed.

    A root that does not exist yet is made.
    """
    try:
        site = read_site_file(path)
    except TailraceError as error:
        yield Finding("site file", str(error), ok=False)
        return
    yield Finding("site file", f"{path}, {len(site.programs)} programs, at most {site.at_once} steps at once")
    yield _tried("token", lambda: _token(site))
    yield _tried("server", lambda: _server(site))
    root = _tried("root", lambda: _root(site))
    yield root
    yield _tried(f"launcher {site.launcher.name}", lambda: make_queue(site.launcher, job_environment()).check())
    for name in site.programs if root.ok else ():
        yield _tried(f"program {name}", partial(_program, site, name))


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what, attempt())
    except (TailraceError, OSError) as error:
        return Finding(what, str(error), ok=False)
    except Exception as error:  # such as QueueFailed: whatever is wrong becomes a line
        return Finding(what, str(error) or type(error).__name__, ok=False)


def _token(site: SiteFile) -> str:
    read_token(site.token_file)
    return str(site.token_file)


def _server(site: SiteFile) -> str:
    server = Server(site.server, read_token(site.token_file))
    try:
        # There is no such step: the answer tells whether the token is an agent's, and nothing changes.
        server.request("POST", "/api/v1/agent/steps/check/permit/", {"epoch": 1, "fence": 1}, deadline=15)
    except Forbidden as error:
        raise TailraceError(f"{error}: the token is not that of a cluster. `tailrace cluster add` makes one") from None
    except NotFound as error:
        if error.code == "no_such_address":
            raise TailraceError(f"{error}: the server is older than this agent") from None
    except Refused as error:
        if error.status == 401:
            raise
    return f"{server.url}, takes the token"


def _root(site: SiteFile) -> str:
    root = Root(site.root)
    free, total = root.free_bytes()
    text = f"{root.path}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < site.limits.disk_free_gb * 1e9:
        raise TailraceError(
            f"{text}: limits.disk_free_gb is {site.limits.disk_free_gb:g}, so the agent would take nothing"
        )
    if os.stat(root.path).st_mode & 0o022:
        raise TailraceError(f"{text}: others can write it: chmod go-w {root.path}")
    try:
        root.lock()
        root.unlock()
    except RootInUse as error:
        return f"{text}; {error}"
    return text


def _program(site: SiteFile, name: str) -> str:
    found = Plugins(site, Root(site.root).path).describe(name)
    return f"{found['title']} {found['version']}"
