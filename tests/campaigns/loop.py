"""A campaign on a server in this process, with an agent that makes up its results."""

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

from server.campaigns import driver
from tests.api_client import Api
from tests.calculations.agents import Agent, declared, program
from tests.cell_examples import DEFINITION, STRUCTURE, bond

CAMPAIGNS = "/api/v1/campaigns/"
TYPES = ("Zr-Cu", "Zr-Zr", "Cu-Cu")
TARGETS = dict.fromkeys(TYPES, 0.05)
PROGRAMS = (
    program("glass", needs_structure=False, analyses=[], schema={
        "type": "object", "additionalProperties": False, "properties": {
            "composition": {"type": "string"}, "seed": {"type": "integer", "minimum": 1}, "atoms": {"type": "integer"},
        },
    }),
    program("deform", analyses=[], schema={
        "type": "object", "additionalProperties": False, "properties": {"deformation": {"type": "integer"}},
    }),
    program("bond-labels", analyses=[], schema={
        "type": "object", "additionalProperties": False, "properties": {
            "cell": {"type": "string"}, "composition": {"type": "string"}, "family": {"type": "string"},
            "deformation": {"type": "integer"}, "descriptor": {"type": "string"},
        },
    }),
)  # fmt: skip


def bonds_of(cell: str, offset: float = 0.0, number: int = 12) -> list[dict[str, Any]]:
    """Bonds of a made-up cell: their strength is a function of the distance, with a little noise."""
    lots = random.Random(hashlib.sha256(cell.encode()).digest())
    made = []
    for n in range(number):
        distance = 2.5 + lots.random()
        made.append(bond(TYPES[n % 3], distance, 5.0 - distance + lots.gauss(0, 0.01) + offset))
    return made


def cell_of(parameters: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What bond-labels leaves for a step with these parameters."""
    return {
        "name": parameters["cell"], "structure": STRUCTURE, "composition": parameters["composition"], "descriptor": "soap",
        "provenance": {"method": "made up"}, "checksums": {}, "observations": bonds_of(parameters["cell"]), **changes,
    }  # fmt: skip


class Loop:
    """Everything that a campaign needs, and what people, the agent and the driver do.

    Attributes
    ----------
    outcome
        Given a step, the state of its result and what else it has: ``("done", {...changes of the cell})``,
        ``("failed", {"reason": …})``.
    steps
        The steps that the agent ran.
    """

    def __init__(self, api: Api, agent: Agent) -> None:
        self.api, self.agent = api, agent
        self.outcome: Callable[[Any], tuple[str, dict[str, Any]]] = lambda step: ("done", {})
        self.steps: list[Any] = []
        api.ok("/api/v1/descriptors/", {"name": "soap", "content": DEFINITION}, 201)
        api.stream("bonds", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
        estimator = {"class": "tree.HoeffdingTreeRegressor", "params": {"grace_period": 5, "leaf_prediction": "mean"}}
        model = {"name": "tree", "stream": "bonds", "flavor": "regression", "estimator": estimator}
        api.ok("/api/v1/models/", model, 201)
        api.ok("/api/v1/compositions/", {"name": "Cu50Zr50"}, 201)

    def create(self, name: str = "glasses", status: int = 201, **fields: Any) -> Any:
        body = {"name": name, "stream": "bonds", "models": ["tree"], "compositions": ["Cu50Zr50"], "targets": TARGETS}
        return self.api.ok(CAMPAIGNS, body | {"budget": {"calculations": 20}} | fields, status)

    def show(self, name: str = "glasses") -> Any:
        return self.api.ok(f"{CAMPAIGNS}{name}/")

    def post(self, what: str, body: Any = None, name: str = "glasses") -> Any:
        return self.api.post(f"{CAMPAIGNS}{name}/{what}/", {} if body is None else body)

    def ok(self, what: str, body: Any = None, name: str = "glasses") -> Any:
        response = self.post(what, body, name)
        assert response.status_code in (200, 201), response.content
        return response.json()

    def runs(self, name: str = "glasses") -> Any:
        return self.api.ok(f"{CAMPAIGNS}{name}/runs/")["runs"]

    def decisions(self, name: str = "glasses") -> Any:
        return self.api.ok(f"{CAMPAIGNS}{name}/decisions/")["decisions"]

    def work(self) -> int:
        """Let the agent run all steps that there are. Return how many."""
        number = 0
        while work := self.agent.claim(20):
            for step in work:
                self.steps.append(step)
                self.run(step)
                number += 1
        return number

    def run(self, step: Any) -> None:
        state, changes = self.outcome(step)
        if state != "done" or step["program"] != "bond-labels":
            self.agent.run(step, state, **(changes if state != "done" else {}))
            return
        content = json.dumps(cell_of(step["parameters"], **changes)).encode()
        self.agent.run(step, files=[declared("cell.json", content)])
        self.send(step, content)

    def send(self, step: Any, content: bytes) -> None:
        response = self.agent.put(f"steps/{step['step']}/files/cell.json?fence={step['fence']}", content)
        assert response.status_code == 200, response.content

    def turn(self) -> None:
        """The driver submits, the agent works, the driver learns."""
        driver.drive_all()
        self.work()
        driver.drive_all()
