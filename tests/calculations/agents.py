"""An agent as tests need it: it speaks the protocol, and does nothing by itself."""

import hashlib
import uuid
from typing import Any

from tests.api_client import Api

SCHEMA = {
    "type": "object",
    "properties": {
        "voltage": {"type": "number", "minimum": 0, "maximum": 10, "default": 0, "unit": "V"},
        "steps": {"type": "integer", "minimum": 1},
        "method": {"type": "string", "enum": ["fast", "exact"], "default": "fast"},
    },
    "additionalProperties": False,
}
ANALYSES = [
    {"name": "thermo", "title": "Thermodynamics", "description": "", "requires": []},
    {"name": "picture", "title": "A picture", "description": "", "requires": ["thermo"]},
]
ENERGY = {"energy": {"value": -1.5, "unit": "eV"}}


def program(name: str = "code", **fields: Any) -> dict[str, Any]:
    """A program as an agent advertises it."""
    made = {"name": name, "version": "1.0", "title": "A code", "description": "", "schema": SCHEMA}
    return {**made, "needs_structure": None, "analyses": ANALYSES, **fields}


class Agent:
    """The agent of one cluster.

    Parameters
    ----------
    api
        With which it asks.
    secret
        The token of its cluster; None on an open server is no good.
    """

    def __init__(self, api: Api, secret: str, root: str = "/scratch/agent", host: str = "login1") -> None:
        self.api, self.root, self.host = api, root, host
        self.headers = {"Authorization": f"Bearer {secret}"}
        self.agent = str(uuid.uuid4())
        self.epoch = 0

    def post(self, path: str, body: Any) -> Any:
        return self.api.post(f"/api/v1/agent/{path}", body, **self.headers)

    def put(self, path: str, data: bytes, **headers: str) -> Any:
        return self.api.client.generic(
            "PUT", f"/api/v1/agent/{path}", data, "application/octet-stream", headers={**self.headers, **headers}
        )

    def ok(self, path: str, body: Any) -> Any:
        response = self.post(path, body)
        assert response.status_code == 200, response.content
        return response.json()

    def registration(self, *programs: Any, holdings: Any = (), **fields: Any) -> dict[str, Any]:
        return {
            "agent": self.agent, "host": self.host, "root": self.root, "version": "1", "launcher": "bare", "slots": 4,
            "programs": list(programs) or [program()], "holdings": list(holdings), **fields,
        }  # fmt: skip

    def register(self, *programs: Any, holdings: Any = (), **fields: Any) -> Any:
        answer = self.ok("register/", self.registration(*programs, holdings=holdings, **fields))
        self.epoch = answer["epoch"]
        return answer

    def sync_body(self, free: int = 0, claim: str | None = "", steps: Any = (), **fields: Any) -> dict[str, Any]:
        claim = str(uuid.uuid4()) if claim == "" and free else claim or None
        return {"epoch": self.epoch, "claim": claim, "free": free, "steps": list(steps), **fields}

    def sync(self, free: int = 0, claim: str | None = "", steps: Any = (), **fields: Any) -> Any:
        return self.ok("sync/", self.sync_body(free, claim, steps, **fields))

    def claim(self, free: int = 1) -> list[Any]:
        return self.sync(free)["work"]

    def report(self, work: Any, state: str, **fields: Any) -> Any:
        return self.sync(steps=[{"step": work["step"], "fence": work["fence"], "state": state, **fields}])

    def permit(self, work: Any, **fields: Any) -> Any:
        return self.ok(f"steps/{work['step']}/permit/", {"epoch": self.epoch, "fence": work["fence"], **fields})

    def result_body(self, work: Any, state: str = "done", **fields: Any) -> dict[str, Any]:
        values = ENERGY if state == "done" else {}
        return {"epoch": self.epoch, "fence": work["fence"], "state": state, "values": values, **fields}

    def results(self, work: Any, state: str = "done", **fields: Any) -> Any:
        return self.ok(f"steps/{work['step']}/results/", self.result_body(work, state, **fields))

    def run(self, work: Any, state: str = "done", **fields: Any) -> Any:
        """Take a step through all of its states."""
        self.permit(work)
        for one in ("queued", "running", "settling"):
            self.report(work, one)
        return self.results(work, state, **fields)

    def run_all(self, free: int = 10) -> int:
        """Claim and run until there is nothing left. Return how many steps were run."""
        number = 0
        while work := self.claim(free):
            for one in work:
                self.run(one)
                number += 1
        return number


def declared(name: str, content: bytes) -> dict[str, Any]:
    """A file as a result declares it."""
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
