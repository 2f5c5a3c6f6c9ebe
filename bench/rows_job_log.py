"""A job's log of 1 GB, sent by an agent while it grows, and shown on its page: what that takes of memory."""

import json
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator

from bench import calls, servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT
from bench.tailed_log import memory

SMALL, LARGE = 5 * 10**7, 10**9
ROUNDS = 40


def job_log(context: Context) -> Iterator[Row]:
    """Send and show a log of 50 MB, then let it grow to 1 GB, and see what both processes take more at their peaks."""
    large = LARGE // 10 if context.quick else LARGE
    server = servers.tailrace(context.directory, name="job-log")
    folder = context.directory / "job-log-output"
    folder.mkdir(exist_ok=True)
    with servers.running(server):
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", "from server.accounts import users; users.create('root', 'admin')"],
            cwd=ROOT, env=server.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise BenchError(f"no admin was made: {made.stderr.strip()[-500:]}")
        (worker,) = server.workers()
        number, step, token, limit = _running_step(server.url)
        (folder / "token").write_text(token)
        (folder / "token").chmod(0o600)
        argv = [
            sys.executable,
            "-m",
            "bench.tailed_log",
            server.url,
            str(folder / "token"),
            step,
            str(folder),
            str(limit),
        ]
        agent = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            told, answers = agent.stdin, agent.stdout
            assert told is not None
            assert answers is not None

            def grow(size: int, how: str = "live") -> dict[str, int]:
                told.write(f"{size} {how}\n")
                told.flush()
                line = answers.readline()
                if not line:
                    raise BenchError("the agent's upload ended")
                _show(f"{server.url}/calculations/{number}/steps/main/log/", size)
                found: dict[str, int] = json.loads(line)
                return found

            first, served = [grow(SMALL) for _ in range(5)][-1], memory(worker.pid)
            for n in range(1, ROUNDS + 1):
                grow(SMALL + (large - SMALL) * n // ROUNDS)
                context.tick()
            last, at_end = grow(large, "ended"), memory(worker.pid)
        finally:
            agent.terminate()
            agent.communicate()
            (folder / "output.txt").unlink(missing_ok=True)
    more = {"agent": last["most"] - first["most"], "server": at_end["most"] - served["most"]}
    note = (
        f"agent {more['agent'] / 1e6:.1f} MB, worker {more['server'] / 1e6:.1f} MB beyond a log of {SMALL // 10**6} MB"
    )
    yield Row(SPECS["job-log"], sum(more.values()) / 1e6, note, {**more, "bytes": large})


def _running_step(url: str) -> tuple[int, str, str, int]:
    """Submit a calculation and take its step. Return the calculation's number, the step, the cluster's token and log_limit."""
    token = calls.call(f"{url}/api/v1/clusters/", "POST", {"name": "alpha"})["token"]
    agent = f"{url}/api/v1/agent/"
    program = {"name": "code", "version": "1", "schema": {"type": "object"}}
    who = {"agent": "a", "host": "h", "root": "/r", "version": "1", "launcher": "bare", "slots": 1}
    body = {**who, "programs": [program], "holdings": []}
    session = calls.call(f"{agent}register/", "POST", body, token=token)
    epoch = session["epoch"]
    number = calls.call(f"{url}/api/v1/calculations/", "POST", {"name": "log", "program": "code"})["id"]
    asked = {"epoch": epoch, "claim": str(uuid.uuid4()), "free": 1}
    (work,) = calls.call(f"{agent}sync/", "POST", asked, token=token)["work"]
    step = work["step"]
    calls.call(f"{agent}steps/{step}/permit/", "POST", {"epoch": epoch, "fence": 1}, token=token)
    return number, step, token, session["settings"]["log_limit"]


def _show(url: str, size: int) -> None:
    """Get the log's page, and see that it shows the end of the log."""
    with urllib.request.urlopen(url) as answer:
        page = answer.read().decode()
    if f"of {size:,}" not in page or "SCF step" not in page:
        raise BenchError(f"{url} does not show the end of a log of {size:,} bytes: {page[page.find('Bytes') :][:80]!r}")
