"""Times the agents' and the people's calls where many steps wait: ``python -m bench.waiting_steps STEPS ROUNDS``, as JSON.

It runs in a process of its own, on the database that the settings name, which must be empty and migrated. The calls go through
all of the application but the socket.
"""

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

USERS = 50
AGENTS, EACH = 100, 20
"""Agents, and seconds between two syncs of each."""
CLAIMED = 10
"""Steps that one sync claims."""


def main() -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client

    from server.accounts import roles, tokens

    steps, rounds = int(sys.argv[1]), int(sys.argv[2])
    admin = User.objects.create_user("admin")
    roles.assign(admin, "admin")
    _, secret = tokens.create(admin, "bench", scopes=tuple(roles.SCOPES))
    people, agents = (Client(headers={"Host": "127.0.0.1:8080"}) for _ in range(2))
    shown = {"Authorization": f"Bearer {secret}"}

    def ask(client: Client, method: str, path: str, body: Any = None, headers: Any = shown) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        response = client.generic(method, f"/api/v1/{path}", data, "application/json", headers=headers)
        assert response.status_code in (200, 201), response.content
        return response.json()

    token = ask(people, "POST", "clusters/", {"name": "alpha"})["token"]
    own = {"Authorization": f"Bearer {token}"}
    program = {"name": "code", "version": "1", "schema": {"type": "object"}}
    others = [{**program, "name": f"other{n}"} for n in range(9)]
    agent = {"agent": "a", "host": "h", "root": "/r", "version": "1", "launcher": "bare", "slots": CLAIMED}
    epoch = ask(agents, "POST", "agent/register/", {**agent, "programs": [program, *others], "holdings": []}, own)[
        "epoch"
    ]
    fill(steps)

    def sync(free: int) -> Any:
        load = {"cpu": 0.5, "memory": 0.5, "disk_free": 1e12, "disk_total": 2e12, "jobs_running": 10, "jobs_waiting": 5}
        claim = str(uuid.uuid4()) if free else None
        return ask(agents, "POST", "agent/sync/", {"epoch": epoch, "claim": claim, "free": free, "load": load}, own)

    def many_agents() -> float:
        """Return the share of a CPU that 100 agents need, in percent: CPU time of their syncs, without the socket."""
        epochs = {}
        for n in range(AGENTS):
            token = ask(people, "POST", "clusters/", {"name": f"other{n}"})["token"]
            who = {"Authorization": f"Bearer {token}"}
            told = {**agent, "agent": f"a{n}", "root": f"/r{n}", "programs": [program], "holdings": []}
            epochs[n] = who, ask(agents, "POST", "agent/register/", told, who)["epoch"]
        load = {"cpu": 0.5, "memory": 0.5, "disk_free": 1e12, "disk_total": 2e12, "jobs_running": 10, "jobs_waiting": 5}
        for _ in range(2):
            before = time.process_time()
            for who, own_epoch in epochs.values():
                body = {"epoch": own_epoch, "claim": None, "free": 0, "load": load}
                ask(agents, "POST", "agent/sync/", body, who)
            used = time.process_time() - before
        return 100 * used / EACH

    def claim() -> None:
        assert len(sync(CLAIMED)["work"]) == CLAIMED

    middle = steps // 2
    measured = {
        "sync": timed(lambda: sync(0), rounds),
        "claim": timed(claim, rounds),
        "agents": many_agents(),
        "list": timed(lambda: ask(people, "GET", f"calculations/?before={middle}"), rounds),
        "list-state": timed(lambda: ask(people, "GET", f"calculations/?state=waiting&before={middle}"), rounds),
        "list-owner": timed(lambda: ask(people, "GET", "calculations/?owner=user7"), rounds),
        "list-text": timed(lambda: ask(people, "GET", "calculations/?text=number+7"), rounds),
    }
    print(json.dumps(measured))


def timed(call: Callable[[], Any], rounds: int) -> float:
    """Return the median time of a call, ms."""
    call()
    samples = []
    for _ in range(rounds):
        before = time.perf_counter()
        call()
        samples.append(1e3 * (time.perf_counter() - before))
    return statistics.median(samples)


def fill(number: int) -> None:
    """Add calculations of one ready step each."""
    from datetime import UTC, datetime

    from server.calculations.models import Calculation, Step

    now = datetime.now(UTC)
    made = Calculation.objects.bulk_create(
        (
            Calculation(
                name=f"number {n}", program="code", asked="{}", state="waiting", counts='{"ready":1}', fingerprint=f"{n:064x}",
                priority=50 + n % 7, created_by=f"user{n % USERS}", owner_id=1000 + n % USERS,
            )
            for n in range(number)
        ),
        batch_size=2_000,
    )  # fmt: skip
    Step.objects.bulk_create(
        (
            Step(
                uid=uuid.uuid4().hex[:16], calculation=one, name="main", number=1, program="code", parameters="{}",
                fingerprint=one.fingerprint, state="ready", priority=one.priority, owner_id=one.owner_id, changed_at=now,
            )
            for one in made
        ),
        batch_size=2_000,
    )  # fmt: skip


if __name__ == "__main__":
    main()
