"""`ServerCalls`: the agent's requests to the server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tailrace.agent.site_file import read_token
from tailrace.errors import Conflict, Refused, TailraceError, Unauthorized
from tailrace.transport.server import Server

__all__ = ["ServerCalls", "Superseded"]

AGENT = "/api/v1/agent/"
DISABLED = "disabled"
DEADLINE = 30.0
SYNC_DEADLINE = 15.0
PREDICT_DEADLINE = 3.0


class Superseded(TailraceError):
    """The server does not let this session or this attempt go on: a newer one has taken over, or a person decided so."""


class ServerCalls:
    """Sends the requests of one session of an agent.

    Parameters
    ----------
    url
        Address of the server.
    token_file
        File with the token. It is read again when the server refuses the token, so that it can be rotated.

    Attributes
    ----------
    epoch
        Number of the session; 0 before `register`.
    """

    def __init__(self, url: str, token_file: Path) -> None:
        self._token_file = token_file
        self._server = Server(url, read_token(token_file))
        self._mutex = threading.Lock()
        self.epoch = 0

    @property
    def address(self) -> str:
        """The server's address in its normal form."""
        return self._server.address

    @property
    def server(self) -> Server:
        """The server, for deliveries of the spool."""
        return self._server

    def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Open a session. Raises Superseded if the root was copied from that of an agent which is in contact."""
        answer: dict[str, Any] = self._send("POST", "register/", body)
        self.epoch = int(answer["epoch"])
        return answer

    def sync(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Report, and return work and wishes. Raises Superseded if a newer session has taken over."""
        return dict(self._send("POST", "sync/", {**body, "epoch": self.epoch}, SYNC_DEADLINE))

    def permit(self, step: str, fence: int, told: Mapping[str, Any]) -> None:
        """Ask for permission to submit, and tell about the job. Raises Superseded if the attempt must not run.

        Parameters
        ----------
        told
            ``version`` of the program, and ``walltime`` of the job.
        """
        path, body = f"steps/{_part(step)}/permit/", {"epoch": self.epoch, "fence": fence}
        try:
            self._send("POST", path, {**body, **told})
        except Refused as error:
            if error.status != 400:
                raise
            self._send("POST", path, body)  # an older server takes nothing else

    def predict(self, model: str, x: Mapping[str, Any], level: float) -> dict[str, Any]:
        """Ask a model. Raises Unreachable if there is no answer within a few seconds."""
        path = f"/api/v1/models/{_part(model)}/predict/"
        return dict(self._server.request("POST", path, {"x": dict(x), "level": level}, deadline=PREDICT_DEADLINE))

    def results(self, step: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Report how an attempt ended. Repeated, it answers the same."""
        return dict(self._send("POST", f"steps/{_part(step)}/results/", {**body, "epoch": self.epoch}))

    def put_file(self, step: str, fence: int, name: str, content: bytes, sha256: str) -> None:
        """Upload a file that the results declared."""
        path = f"steps/{_part(step)}/files/{_part(name)}?fence={fence}"
        self._send("PUT", path, content, headers={"X-Content-SHA256": sha256})

    def put_log(self, step: str, fence: int, offset: int, content: bytes, after: int | None = None) -> int:
        """Upload a part of an attempt's log. Returns the offset of the next part, also if this one was at a wrong offset.

        `after` is where the log that the server has ends, if the part does not follow on it: it begins the log's end anew.
        """
        path = f"steps/{_part(step)}/log?fence={fence}&offset={offset}{'' if after is None else f'&after={after}'}"
        try:
            return int(self._send("PUT", path, content)["next"])
        except Superseded as error:
            following = error.__cause__.answer.get("next") if isinstance(error.__cause__, Conflict) else None
            if not isinstance(following, int):
                raise
            return following

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        deadline: float = DEADLINE,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            return self._server.request(method, AGENT + path, body, deadline=deadline, headers=headers)
        except Conflict as error:
            if error.code == DISABLED:
                raise  # somebody may enable the cluster again
            raise Superseded(str(error)) from error
        except Unauthorized:
            token = read_token(self._token_file)
            with self._mutex:
                if token == self._server.token:
                    raise
                self._server.token = token
            return self._server.request(method, AGENT + path, body, deadline=deadline, headers=headers)


def _part(name: str) -> str:
    return quote(name, safe="")
