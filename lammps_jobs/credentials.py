"""The demo's tokens, as a site would hand them out: its owner's makes one for the jobs and one to ask with.

A job's token can learn into the demo's stream and do nothing else, so one that leaks from a compute node tells nobody
anything. They are kept in a file that its owner alone can read, and never stand on a command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailrace.errors import Refused
from tailrace.spool import write_whole

from lammps_jobs.local_server import LocalServer
from lammps_jobs.plan import read_json

__all__ = ["Credentials"]

USER = "demo"
DAYS = 7
PRIVATE = 0o600


class Credentials:
    """Tokens for one demo's server: those that are kept, while they work, and new ones otherwise.

    Parameters
    ----------
    path
        The file that keeps them.
    server
        It runs, and asks for tokens.
    """

    def __init__(self, path: Path, server: LocalServer) -> None:
        self._path = path
        self._server = server
        self._kept: dict[str, str] = read_json(path) or {}

    def owner(self) -> str:
        """A token that can do all that a researcher can, made on the command line of the server."""
        if not self._works("owner"):
            made = self._server.manage(
                "create_token", USER, "--create-user", "--role", "researcher", "--name", "demo", "--days", str(DAYS)
            )
            self._keep("owner", made.strip())
        return self._kept["owner"]

    def for_jobs(self, stream: str) -> str:
        """A token that can learn into ``stream`` and do nothing else."""
        return self._limited("jobs", ["learn"], stream)

    def for_asking(self, stream: str) -> str:
        """A token that can read ``stream`` and ask its models for predictions."""
        return self._limited("asking", ["predict", "read"], stream)

    def _limited(self, name: str, scopes: Sequence[str], stream: str) -> str:
        if not self._works(name):
            body = {"name": f"demo: {name}", "scopes": scopes, "streams": [stream]}
            made = self._server.api(self.owner()).request("POST", "/api/v1/tokens/", body)
            self._keep(name, made["token"])
        return self._kept[name]

    def _works(self, name: str) -> bool:
        """Whether there is such a token and the server takes it: its database may be another by now."""
        if name not in self._kept:
            return False
        try:
            self._server.api(self._kept[name]).request("GET", "/api/v1/me/")
        except Refused as error:
            if error.status != 401:
                raise
            return False
        return True

    def _keep(self, name: str, secret: str) -> None:
        self._kept[name] = secret
        write_whole(self._path, self._kept, mode=PRIVATE)
