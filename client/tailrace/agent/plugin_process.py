"""`Plugins`: calls the plug-ins of the site's programs, each call in a process of its own, with limits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.agent.site_file import ProgramTable, SiteFile
from tailrace.atomic_files import read_json
from tailrace.errors import TailraceError

__all__ = ["PluginFailed", "Plugins"]

LONGEST_RESULT = 64 << 20
PRIVATE = ("TAILRACE_TOKEN",)


class PluginFailed(TailraceError):
    """A call of a plug-in gave no result: it was refused, failed, or was ended. The message says why."""


class Plugins:
    """Calls plug-ins.

    Parameters
    ----------
    site
        The site's file.
    root
        The agent's root, as the steps' folders see it.
    """

    def __init__(self, site: SiteFile, root: Path) -> None:
        self._site = site
        self._root = root

    def describe(self, name: str) -> dict[str, Any]:
        """Returns what the server is told about a program. Raises PluginFailed if it cannot run here."""
        folder = self._root / "programs" / name
        folder.mkdir(exist_ok=True)
        return self.call("describe", name, folder)

    def call(self, stage: str, name: str, folder: Path, **more: Any) -> dict[str, Any]:
        """Run a stage of a program in a folder, and return its result.

        Raises
        ------
        PluginFailed
            If it failed. The message is the plug-in's.
        OSError
            If this machine cannot start it, or the disk is full.
        """
        table = self._site.programs[name]
        result = folder / f"{stage}.json"
        with contextlib.suppress(FileNotFoundError):
            result.unlink()
        with open(folder / f"{stage}.txt", "wb") as output:
            code = self._run(table, stage, folder, json.dumps({**self._said(table), **more}).encode(), output)
        if code != 0 or not result.exists():
            raise PluginFailed(f"the plug-in of {name} {code}: {_last_line(folder / f'{stage}.txt')}")
        if result.stat().st_size > LONGEST_RESULT:
            raise PluginFailed(f"the plug-in of {name} gave {result.stat().st_size >> 20} MB of results: expected less")
        try:
            found: dict[str, Any] = read_json(result)
        except ValueError:
            raise PluginFailed(f"the plug-in of {name} wrote a {result.name} that is not JSON") from None
        if "error" in found:
            raise PluginFailed(str(found["error"]))
        return found

    def _run(self, table: ProgramTable, stage: str, folder: Path, said: bytes, output: Any) -> int | str:
        environment = {name: value for name, value in os.environ.items() if name not in PRIVATE}
        process = subprocess.Popen(
            [table.python, "-m", "tailrace.agent.plugin", stage, str(folder)],
            stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(said, self._site.limits.plugin_seconds or None)
        except subprocess.TimeoutExpired:
            return f"did not end within {self._site.limits.plugin_seconds:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.wait()
        code = process.returncode
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}" if code else 0

    def _said(self, table: ProgramTable) -> dict[str, Any]:
        launcher = self._site.launcher
        return {
            "name": table.name,
            "module": table.module,
            "options": _plain(table.options),
            "launcher": launcher.name,
            "launcher_options": list(launcher.options),
            "mpi": table.mpi or launcher.mpi,
            "runtime": table.runtime,
            "image": table.image,
            "root": str(self._root),
            "memory_mb": self._site.limits.plugin_memory_mb,
            "attempts": self._site.limits.attempts,
            "agent": os.getpid(),
        }


def _plain(value: Any) -> Any:
    """Returns options of a TOML file as JSON: dates become texts."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _last_line(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "it printed nothing")
