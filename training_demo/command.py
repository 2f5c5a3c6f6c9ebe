"""`make demo-training`: a training tracked in Tailrace and in a real MLflow, killed, resumed, and compared.

A physics-informed neural network learns the heat equation in NumPy, for about a minute. Its metrics go to a Tailrace server and
to an MLflow server, both started here. In the middle it is killed with `kill -9`, and then resumed from its last checkpoint.
Then both servers are asked for every point, and the answers are compared with each other and with what the training logged.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tailrace.errors import TailraceError
from tailrace.handles.client import Client

from lammps_jobs.demo_support.command import PORT, working_directory
from lammps_jobs.demo_support.local_server import LocalServer, ServerFailed
from lammps_jobs.demo_support.tokens import Credentials
from lammps_jobs.runs import processes
from lammps_jobs.runs.lammps_job import PYTHON_PATH, ROOT
from training_demo.mlflow_server import MLflowFailed, MLflowServer, install_mlflow

if TYPE_CHECKING:
    from training_demo.screen import Screen

__all__ = ["main"]

NAME = "demo-training"
PACKAGES = ("rich", "matplotlib", "numpy")
TRAINING_LIMIT = 1800.0
FLUSH_LIMIT = 300.0
KILLED_AFTER = 0.45


class TrainingFailed(Exception):
    """The training ended with an error, or the back ends differ. The message says which file to read."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns
    -------
    The exit code: 0; 1 after an error, or if both back ends are not equal; 2 if it can't be started; 130 if it was interrupted.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6000, help="steps of the training (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.steps < 400:
        parser.error(
            f"--steps is {options.steps}: expected at least 400, so that there is a checkpoint before the kill"
        )
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        print(f"{NAME}: not installed for {sys.executable}: {', '.join(missing)}; run `make {NAME}`", file=sys.stderr)
        return 2
    from training_demo.screen import Screen

    screen = Screen(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            return _demo(screen, stack, options.steps)
    except (TrainingFailed, MLflowFailed, ServerFailed, TailraceError) as error:
        screen.trouble(str(error))
    except OSError as error:
        screen.trouble(
            f"{error.filename or 'the disk'}: {error.strerror} (set TAILRACE_VAR_DIR to use another directory)"
        )
    except KeyboardInterrupt:
        screen.trouble("Stopped.")
        return 130
    return 1


def _demo(screen: Screen, stack: ExitStack, steps: int) -> int:
    from training_demo.comparison import compare, draw, logged_points, mlflow_points, tailrace_points

    began = time.monotonic()
    place = _free_folder(working_directory(NAME))
    mlflow_command = install_mlflow(working_directory("mlflow-venv"), screen.note)
    screen.note(f"Starting a Tailrace server and an MLflow server (their output: {screen.path(place)}/*.log) …")
    server = stack.enter_context(LocalServer(ROOT, PORT, place / "server.log"))
    screen.serving(server.url, None if server.port == PORT else PORT)
    mlflow = stack.enter_context(MLflowServer(mlflow_command, place))
    screen.note(f"MLflow listens on {mlflow.url}/.")
    token = Credentials(place / "tokens.json", server).owner()
    client = Client(server.url, token)
    uid = os.urandom(16).hex()
    training = _Training(
        place, uid, steps, {"TAILRACE_URL": server.url, "TAILRACE_TOKEN": token, "MLFLOW_TRACKING_URI": mlflow.url}
    )

    screen.note(f"The training starts: {steps:,} steps, run {uid}.")
    killed_at = training.killed_after(int(steps * KILLED_AFTER))
    calls = len(logged_points(training.logged))
    resumed_at = training.checkpoint_step()
    screen.note(f"It was killed with kill -9 after step {killed_at:,}. It had logged {calls:,} losses.")
    screen.note(f"It is resumed from its checkpoint at step {resumed_at:,} …")
    training.finished()
    screen.note("The training has ended. `tailrace flush` sends what the killed process left behind …")
    training.flushed()

    rows = compare(tailrace_points(client, uid), mlflow_points(mlflow.url, uid))
    screen.comparison(rows)
    logged = sorted(logged_points(training.logged))
    lost = {
        name: _missing(logged, points)
        for name, points in (("Tailrace", _of(rows, "tailrace")), ("MLflow", _of(rows, "mlflow")))
    }
    screen.lost(len(logged), lost)
    picture = place / "comparison.png"
    draw(
        picture,
        rows,
        killed_at,
        resumed_at,
        {"loss": "loss", "l2_error": "relative L2 error of the solution"}.__getitem__,
    )
    screen.note(f"The picture: {screen.path(picture)}. Done in {time.monotonic() - began:.0f} s.")
    unequal = [row.key for row in rows if not row.equal]
    if unequal or any(lost.values()):
        raise TrainingFailed(f"the back ends are not equal: {', '.join(unequal) or lost}. See {place}")
    return 0


def _of(rows: Sequence[object], name: str) -> list[tuple[int, float]]:
    return sorted((point[0], point[2]) for row in rows if getattr(row, "key") == "loss" for point in getattr(row, name))  # noqa: B009


def _missing(logged: Sequence[tuple[int, float]], stored: Sequence[tuple[int, float]]) -> int:
    """Return how many of the logged losses are not stored, each as often as it was logged."""
    left = list(stored)
    count = 0
    for one in logged:
        try:
            left.remove(one)
        except ValueError:
            count += 1
    return count


class _Training:
    """Starts the training, kills it, and starts it again."""

    def __init__(self, folder: Path, uid: str, steps: int, settings: dict[str, str]) -> None:
        self.logged = folder / "logged.txt"
        self._folder = folder
        self._spool = folder / "spool"
        self._log = folder / "training.log"
        self._uid = uid
        self._steps = steps
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "MLFLOW_"))}
        one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        path = os.pathsep.join([str(ROOT), PYTHON_PATH])
        self._environment = own | one_core | settings | {"PYTHONPATH": path, "TAILRACE_TRACKING_WAIT": "10"}

    def killed_after(self, step: int) -> int:
        """Start it, kill it after a step, and return the step that it was at."""
        process = self._start()
        ends = time.monotonic() + TRAINING_LIMIT
        try:
            while self._last_step() < step:
                if process.poll() is not None:
                    raise self._failed()
                if time.monotonic() > ends:
                    raise TrainingFailed(f"the training did not reach step {step} in {TRAINING_LIMIT:.0f} s")
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return self._last_step()

    def finished(self) -> None:
        """Start it again, and wait for its end."""
        process = self._start()
        try:
            code = process.wait(TRAINING_LIMIT)
        except BaseException:
            processes.end(process)
            raise
        if code:
            raise self._failed()

    def flushed(self) -> None:
        """Send what is left in the spool."""
        command = [sys.executable, "-m", "tailrace", "flush", "--spool", str(self._spool), "--run", self._uid]
        ends = time.monotonic() + FLUSH_LIMIT
        while True:
            done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise TrainingFailed(f"tailrace flush failed: {done.stderr.strip() or done.stdout.strip()}")
            # A process that the training left behind may be sending the end of it.
            if not any(self._spool.glob("tracking/*/*.lines")):
                return
            if time.monotonic() > ends:
                raise TrainingFailed(f"something is left in {self._spool}: {done.stderr.strip()}")
            time.sleep(0.5)

    def checkpoint_step(self) -> int:
        """Return the step that the last checkpoint is at; 0 if there is none."""
        import numpy as np

        path = self._folder / "checkpoint.npz"
        if not path.exists():
            return 0
        with np.load(path) as kept:
            return int(kept["step"])

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "training_demo.train", str(self._folder), "--run", self._uid, "--steps", str(self._steps),
            "--backend", "tailrace", "--backend", "mlflow",
        ]  # fmt: skip
        with open(self._log, "ab") as output:
            return processes.start(command, output, cwd=ROOT, environment=self._environment, end_with_parent=True)

    def _last_step(self) -> int:
        try:
            lines = self.logged.read_bytes().splitlines()
        except OSError:
            return -1
        return int(lines[-1].split()[0]) if lines and lines[-1].split() else -1

    def _failed(self) -> TrainingFailed:
        words = "\n  ".join(self._log.read_text(errors="replace").strip().splitlines()[-8:])
        return TrainingFailed(f"the training ended with an error. The end of {self._log}:\n  {words}")


def _free_folder(first: Path) -> Path:
    for number in itertools.count(1):
        folder = first / str(number)
        if not folder.exists():
            folder.mkdir(parents=True)
            return folder
    raise AssertionError("numbers do not end")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
