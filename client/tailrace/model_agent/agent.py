"""`ModelAgent`: syncs with the server, and keeps each service as it is wanted."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any

from tailrace.errors import Conflict, TailraceError, Unauthorized, Unusable
from tailrace.model_agent.engine import Engine, EngineError
from tailrace.model_agent.keeper import CHECK_SECONDS, Keeper
from tailrace.model_agent.proxy import Proxy
from tailrace.model_agent.relay import Reply
from tailrace.model_agent.settings import Settings
from tailrace.model_agent.wanted import DELETED, Refused, Wanted, wanted_of
from tailrace.transport.server import Server
from tailrace.version import __version__

__all__ = ["ModelAgent"]

SYNC = "/api/v1/agent/services/"
DEADLINE = 15.0
SHORTEST, LONGEST = 0.2, 60.0


class ModelAgent:
    """The agent of one machine.

    Parameters
    ----------
    settings
        The site's file.
    token
        Returns the cluster's token. It is called again when the server refuses one.
    say
        Takes lines for the log.
    interval
        Seconds between two syncs; None: as the server asks.
    check_seconds
        Seconds between two checks of a healthy service.

    Raises
    ------
    Unusable
        If the docker SDK is missing, or the address is taken.
    """

    def __init__(
        self,
        settings: Settings,
        token: Callable[[], str],
        say: Callable[[str], None] = print,
        *,
        interval: float | None = None,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._settings, self._token, self._say = settings, token, say
        self._interval, self._check_seconds = interval, check_seconds
        self._server = Server(settings.server, token())
        self._engine: Engine | None = None
        self._owner = ""
        self._keepers: dict[str, Keeper] = {}
        self._refused: dict[str, dict[str, Any]] = {}
        self._session, self._secret = str(uuid.uuid4()), secrets.token_urlsafe(32)
        self._begins = True
        self._ending = threading.Event()
        self._last_said = ""
        self._proxy: Proxy | None = None
        if settings.port:
            try:
                self._proxy = Proxy(settings.host, settings.port, self._secret, self._ask)
            except OSError as error:
                raise Unusable(f"{settings.address}: {error.strerror}: another agent may have this address") from error

    def stop(self) -> None:
        """End `run` soon. Containers go on; the next run finds them."""
        self._ending.set()

    def run(self) -> int:
        """Work until `stop`, or until another run of the agent takes over. Return an exit code."""
        if self._proxy is not None:
            self._proxy.start()
        try:
            while not self._ending.is_set():
                pause = self._interval or 5.0
                try:
                    pause = self._sync()
                    self._say_once("")
                except Conflict as error:
                    if error.code == "superseded":
                        self._say(f"model agent: {error}")
                        return 1
                    self._say_once(str(error))
                except (TailraceError, EngineError) as error:
                    self._say_once(str(error))
                except Exception as error:  # an answer that makes no sense must not end the services
                    self._say_once(f"the server's answer can't be used: {type(error).__name__}: {error}")
                self._ending.wait(min(max(pause, SHORTEST), LONGEST))
        finally:
            for keeper in self._keepers.values():
                keeper.end()
            if self._proxy is not None:
                self._proxy.shutdown()
                self._proxy.server_close()
        return 0

    def _say_once(self, text: str) -> None:
        if text and text != self._last_said:
            self._say(f"model agent: {text}")
        self._last_said = text

    def _ask(self, name: str, content: bytes, content_type: str, seconds: float) -> Reply:
        return self._keepers[name].ask(content, content_type, seconds)

    def _sync(self) -> float:
        reports = [keeper.report() for keeper in list(self._keepers.values())] + list(self._refused.values())
        answer = self._sent({
            "session": self._session, "begins": self._begins, "address": self._settings.address, "secret": self._secret,
            "version": __version__, "images": list(self._settings.images), "services": reports,
        })  # fmt: skip
        self._begins = False
        if self._engine is None:
            self._owner = f"{self._server.address} {answer['cluster']}"
            self._engine = Engine(self._settings.socket, self._owner)
        self._apply(self._engine, answer["services"])
        return self._interval or float(answer["interval"])

    def _sent(self, body: dict[str, Any]) -> Any:
        try:
            return self._server.request("POST", SYNC, body, deadline=DEADLINE)
        except Unauthorized:
            token = self._token()
            if token == self._server.token:
                raise
            self._server.token = token
            return self._server.request("POST", SYNC, body, deadline=DEADLINE)

    def _apply(self, engine: Engine, told: list[dict[str, Any]]) -> None:
        wanted: dict[str, Wanted] = {}
        self._refused = {}
        for one in told:
            try:
                found = wanted_of(one)
            except Refused as refused:
                self._say_once(str(refused))
                continue
            taken = len(wanted) >= self._settings.services and found.name not in self._keepers
            if taken and found.wanted != DELETED:
                self._refused[found.name] = {
                    "name": found.name, "generation": found.generation, "wanted": found.wanted, "state": "refused",
                    "reason": f"the site allows {self._settings.services} services", "restarts": 0,
                }  # fmt: skip
                continue
            wanted[found.name] = found
        for name, keeper in list(self._keepers.items()):
            if name not in wanted:
                if not keeper.is_done:
                    self._remove(engine, name)
                keeper.end()
                del self._keepers[name]
        for name, found in wanted.items():
            known = self._keepers.get(name)
            if known is None:
                self._keepers[name] = Keeper(engine, self._settings, found, self._check_seconds)
                self._keepers[name].start()
            else:
                known.want(found)
        for name, status in engine.status().items():  # of services that were deleted while no agent ran
            if name not in wanted:
                engine.delete(status)

    @staticmethod
    def _remove(engine: Engine, name: str) -> None:
        status = engine.status_of(name)
        if status is not None:
            engine.delete(status)
