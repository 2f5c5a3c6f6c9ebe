"""The real ``mlflow`` client against our server and against a real ``mlflow server``, and what our server weighs meanwhile.

MLflow is not among the requirements, as it takes 850 MB: ``mlflow-requirements.txt`` says what to install, and where.
"""

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row, median_ratio

REQUIREMENTS = Path(__file__).parent / "mlflow-requirements.txt"
CLIENT = Path(__file__).parent / "mlflow_client.py"
ROWS = ("mlflow-one-by-one", "mlflow-batch", "mlflow-memory")


def python(context: Context) -> Path:
    """Return the Python that has MLflow.

    Raises
    ------
    BenchError
        If MLflow isn't installed. It says how to install it.
    """
    found = Path(os.environ.get("BENCH_MLFLOW_PYTHON", context.directory / "mlflow-venv" / "bin" / "python"))
    if not found.exists():
        raise BenchError(
            f"skipped, as MLflow is not installed in {found.parent.parent}: python -m venv {found.parent.parent} && "
            f"{found} -m pip install -r bench/{REQUIREMENTS.name} (850 MB), or name its Python in BENCH_MLFLOW_PYTHON"
        )
    return found


def mlflow_server(context: Context, its_python: Path) -> servers.Server:
    """Return a real ``mlflow server`` with one worker, on SQLite, as ours is."""
    directory, bind = context.directory / "mlflow-server", servers.free_address()
    directory.mkdir(parents=True, exist_ok=True)
    host, _, port = bind.partition(":")
    argv = [
        str(its_python), "-m", "mlflow", "server", "--workers", "1", "--host", host, "--port", port,
        "--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}", "--artifacts-destination", str(directory / "artifacts"),
    ]  # fmt: skip
    environ = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    return servers.Server("mlflow-server", context.directory / "logs", bind, argv, environ, "/health", directory)


def tracking(context: Context) -> Iterator[Row]:
    """Measure both servers alternately, by a client in a process of its own that says how long each part took."""
    its_python = python(context)
    ours, theirs = servers.tailrace(context.directory, name="tracking"), mlflow_server(context, its_python)
    seconds: dict[str, dict[str, list[float]]] = {
        "one": {"ours": [], "mlflow": []},
        "batch": {"ours": [], "mlflow": []},
    }
    with servers.running(ours, theirs):
        for round_number in range(context.rounds + 1):
            for name, server in (("ours", ours), ("mlflow", theirs)):
                done = subprocess.run(
                    [its_python, CLIENT, server.url], capture_output=True, text=True,
                    env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                )  # fmt: skip
                if done.returncode:
                    raise BenchError(f"the client of MLflow failed against {server.name}:\n{done.stderr[-2000:]}")
                if round_number:  # the first one warms up
                    found = json.loads(done.stdout.splitlines()[-1])
                    seconds["one"][name].append(found["one_by_one"])
                    seconds["batch"][name].append(found["batch"])
            context.tick()
        weight, their_weight = (_memory(server.pid) / 1e6 for server in (ours, theirs))
    for row, part, what in (("mlflow-one-by-one", "one", "200 calls"), ("mlflow-batch", "batch", "1,000 points")):
        if row in context.wanted:
            own, other = seconds[part]["ours"], seconds[part]["mlflow"]
            note = f"{what}: {statistics.median(own) * 1e3:.0f} ms by {statistics.median(other) * 1e3:.0f} ms"
            yield Row(SPECS[row], median_ratio(other, own), note, {"ours": own, "mlflow": other})
    if "mlflow-memory" in context.wanted:
        note = f"master and one worker; mlflow server {their_weight:.0f} MB"
        yield Row(SPECS["mlflow-memory"], weight, note, {"ours": weight, "mlflow": their_weight})


def _memory(pid: int) -> int:
    """Return the memory of a process and its children, each shared page counted once for all, bytes."""
    parent = psutil.Process(pid)
    return sum(one.memory_full_info().pss for one in (parent, *parent.children(recursive=True)))
