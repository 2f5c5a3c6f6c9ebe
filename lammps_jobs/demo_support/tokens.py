"""Tokens of a demo: one for the owner, one for the jobs, one for predictions.

The token of the jobs can learn into the demo's stream and do nothing else. If it leaks from a compute node, nobody can
read anything with it. The tokens are stored in a file that only its owner can read, and never appear on a command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailrace.atomic_files import read_json, write_json
from tailrace.errors import Refused

from lammps_jobs.demo_support.local_server import LocalServer

__all__ = ["Credentials"]

USER = "demo"
DAYS = 7
PRIVATE = 0o600


class Credentials:
    """Tokens for one demo's server. Stored tokens are used as long as they work; then new ones are created.

    Parameters
    ----------
    path
        The file with the tokens.
    server
        The running server.
    """

    def __init__(self, path: Path, server: LocalServer) -> None:
        self._path = path
        self._server = server
        self._kept: dict[str, str] = read_json(path) or {}

    def owner(self) -> str:
        """Return a token with all rights of a researcher, created on the command line of the server."""
        if not self._works("owner"):
            made = self._server.manage(
                "create_token", USER, "--create-user", "--role", "researcher", "--name", "demo", "--days", str(DAYS)
            )
            self._keep("owner", made.strip())
        return self._kept["owner"]

    def admin(self) -> str:
        """Return a token with all rights of an admin, such as adding clusters."""
        if not self._works("admin"):
            name = f"{USER}-admin"
            made = self._server.manage(
                "create_token", name, "--create-user", "--role", "admin", "--name", "demo", "--days", str(DAYS)
            )
            self._keep("admin", made.strip())
        return self._kept["admin"]

    def password(self) -> str:
        """Return a new password with which a person signs in as :data:`USER`, to watch. It is stored nowhere."""
        self.owner()  # it makes the user
        return self._server.manage("reset_password", USER).strip()

    def for_jobs(self, stream: str) -> str:
        """Return a token that can learn into ``stream`` and do nothing else."""
        return self._limited("jobs", ["learn"], stream)

    def for_asking(self, stream: str) -> str:
        """Return a token that can read ``stream`` and predict with its models."""
        return self._limited("asking", ["predict", "read"], stream)

    def _limited(self, name: str, scopes: Sequence[str], stream: str) -> str:
        if not self._works(name):
            body = {"name": f"demo: {name}", "scopes": scopes, "streams": [stream]}
            made = self._server.api(self.owner()).request("POST", "/api/v1/tokens/", body)
            self._keep(name, made["token"])
        return self._kept[name]

    def _works(self, name: str) -> bool:
        """Return whether there is a stored token that the server accepts.

        The server's database may have been replaced.
        """
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
        write_json(self._path, self._kept, mode=PRIVATE)
