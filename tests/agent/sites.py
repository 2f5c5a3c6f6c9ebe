"""A site with an agent: its file, its root, and the agent as a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.client.running import environment
from tests.serving import ROOT
from tests.slurm import until

FINAL = ("done", "unconverged", "failed", "cancelled")


class Site:
    """A site's file and root in a folder.

    Parameters
    ----------
    folder
        Where they are.
    url
        The server.
    token
        The cluster's token.
    environ
        More variables for the agent.
    python
        The Python that runs the agent.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        token: str = "token",
        *,
        environ=None,
        program="",
        python=sys.executable,
        **settings,
    ):
        self.folder, self.root, self.url, self.token = folder, folder / "root", url, token
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "token").chmod(0o600)
        self.environ, self.python = environ or {}, python
        settings = {"at_once": 4, "launcher": "local", **settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)]
        limits = {"absent_seconds": 1, "disk_free_gb": 0, **settings.get("limits", {})}
        self.file = folder / "agent.toml"
        self.file.write_text(
            f'server = "{url}"\ntoken_file = "token"\nroot = "root"\n'
            + "\n".join(lines)
            + "\n[limits]\n"
            + "\n".join(f"{name} = {value}" for name, value in limits.items())
            + f'\n[programs.small]\nmodule = "tests.agent.small_program:Small"\n{program}\n'
        )
        self.process = None

    def environment(self):
        paths = [str(ROOT / "client"), str(ROOT), *filter(None, [self.environ.get("PYTHONPATH")])]
        return environment(**{**self.environ, "PYTHONPATH": os.pathsep.join(paths)})

    def start(self, *wrapper: str):
        with open(self.folder / "agent.log", "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, self.python, "-m", "tailrace", "agent", "run", "--config", str(self.file)],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def command(self, *arguments: str):
        return subprocess.run(
            [self.python, "-m", "tailrace", "agent", *arguments, "--config", str(self.file)],
            env=self.environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        return self.process and self.process.returncode

    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    def attempts(self, step: str) -> list[Path]:
        """The attempts of a step that began."""
        return sorted((self.root / "steps" / step).glob("*/begun.*"))

    def folder_of(self, step: str, fence: int = 1) -> Path:
        return self.root / "steps" / step / str(fence)


@contextlib.contextmanager
def site(folder, url, token="token", **options):
    """A site whose agent and jobs end with the context."""
    made = Site(folder, url, token, **options)
    try:
        yield made
    finally:
        made.stop()
        end_jobs(made)


def end_jobs(made):
    """End the local jobs of a root."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = (
                f"{made.root}/".encode() in (place / "cmdline").read_bytes()
                and b"TAILRACE_JOB=" in (place / "environ").read_bytes()
            )
            if mine:
                os.killpg(os.getpgid(int(place.name)), signal.SIGKILL)


def settled(server, *steps, made=None):
    """Wait until the steps have ended."""
    until(
        lambda: all(server.steps[step]["state"] in FINAL for step in steps),
        lambda: str([server.steps[step] for step in steps]) + (made.log() if made else ""),
    )
    return [server.steps[step] for step in steps]
