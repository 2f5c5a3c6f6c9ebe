"""`LocalAgent`: the agent of a cluster, started on this machine and stopped at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lammps_jobs.runs import processes
from lammps_jobs.runs.lammps_job import PYTHON_PATH

__all__ = ["LocalAgent"]

PROGRAMS = ("tblite", "lammps")
CHECK_LIMIT = 120.0


class LocalAgent:
    """An agent with a folder of its own. As a context manager, it starts the agent and stops it.

    Parameters
    ----------
    folder
        For the site's file, the token, the root and the agent's output.
    url, token
        The server, and the token of the cluster.
    launcher
        ``local`` or ``slurm``.
    at_once
        Most steps that run at the same time.
    programs
        Programs that it offers.
    sync_seconds
        Longest time between two syncs with the server, s; None: as the server says.
    """

    def __init__(
        self, folder: Path, url: str, token: str, launcher: str, at_once: int,
        programs: Sequence[str] = PROGRAMS, sync_seconds: int | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.log = folder / "agent.log"
        self._file = folder / "agent.toml"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        secret = folder / "agent.token"
        secret.touch(mode=0o600)
        secret.write_text(token, encoding="utf-8")
        lines = [
            f"server = {json.dumps(url)}", 'token_file = "agent.token"', 'root = "root"', f"launcher = {json.dumps(launcher)}",
            f"at_once = {at_once}", "[limits]", "disk_free_gb = 0.1",
            *([] if sync_seconds is None else [f"sync_seconds = {sync_seconds}"]), *(f"[programs.{name}]" for name in programs),
        ]  # fmt: skip
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> LocalAgent:
        with open(self.log, "ab") as output:
            self._process = processes.start(
                self._command("run"), output, cwd=self.folder, environment=self._environment(), end_with_parent=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            processes.end(self._process)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def last_words(self) -> str:
        """Return the end of its output."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n  ".join(lines[-8:]) if lines else "(nothing)"

    def _command(self, action: str) -> list[str]:
        return [sys.executable, "-m", "tailrace", "agent", action, "--config", str(self._file)]

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        return own | {"PYTHONPATH": PYTHON_PATH, "OMP_NUM_THREADS": "1", "TAILRACE_SPOOL": str(self.folder / "spool")}
