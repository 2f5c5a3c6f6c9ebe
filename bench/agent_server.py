"""The agents' part of a server, in this process, for rows about agents: it has nothing to say, or one step at a time."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tailrace.agent.held_step import SUBMITTED, HeldStep, job_name
from tailrace.agent.journal import Journal
from tailrace.agent.ledger import Ledger
from tailrace.agent.root import Root

INTERVAL = 20


class AgentServer:
    """The server.

    Parameters
    ----------
    interval
        Seconds between two syncs.

    Attributes
    ----------
    syncs
        How many there were.
    handed_out
        When the answer with a step was sent, by its identifier (`time.time`).
    ended
        Identifiers of steps whose results came.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self.syncs, self._interval = 0, interval
        self.work: list[dict[str, Any]] = []
        self.handed_out: dict[str, float] = {}
        self.ended: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = owner.answer(self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = handle_any

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of the answer to a request of an agent."""
        common = {"epoch": 1, "interval": self._interval, "time": 0, "settings": {}}
        if path.endswith("/register/"):
            return 200, {"cluster": "bench", **common}
        if path.endswith("/sync/"):
            said = json.loads(body)
            work = [self.work.pop()] if said["claim"] and self.work else []
            self.handed_out |= {one["step"]: time.time() for one in work}
            accepted = [{name: one[name] for name in ("step", "fence", "state")} for one in said["steps"]]
            self.syncs += 1
            return 200, {**common, "state": "enabled", "work": work, "cancel": [], "clean": [], "accepted": accepted}
        if path.endswith("/permit/"):
            return 200, {"permitted": True}
        if path.endswith("/results/"):
            self.ended.append(path.split("/")[-3])
            return 200, {"accepted": True, "first": True, "state": "done", "missing": []}
        if path.partition("?")[0].endswith("/log"):
            return 200, {"next": int(path.rpartition("=")[2]) + len(body)}
        return 404, {"error": {"code": "not_found", "message": "there is no such address"}}


def submitted(root: Path, server: str, number: int) -> list[str]:
    """Give an agent's root so many steps whose jobs are in the queue, and return them as lines of ``squeue``."""
    folder = Root(root)
    ledger, lines = Ledger(Journal(folder.journal), folder.step), []
    for n in range(number):
        step = f"step{n:05d}"
        folder.step(step, 1).mkdir(parents=True)
        ledger.add(HeldStep(step, 1, folder.step(step, 1), "idle", 3600, SUBMITTED, str(n + 1)))
        lines.append(f"{n + 1}|PENDING|Priority|{job_name(server, step)}|fence-1")
    return lines
