"""The `tailrace` command as a job runs it: a process of its own, which knows nothing of the tests' environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tailrace.spool.spool import Spool

from tests.client.listeners import answer
from tests.serving import ROOT

NOBODY = "http://127.0.0.1:9"
"""Where nothing listens."""

PYTHON = os.environ.get("TAILRACE_TEST_CLIENT_PYTHON", sys.executable)
"""What the command runs on: these tests run on other Pythons, too."""

OWN = ("TAILRACE_", "SLURM_", "FLUX_", "LSB_", "LSF_", "PBS_", "HTTP", "NO_PROXY", "ALL_PROXY", "SSL_", "COLUMNS")


def environment(**more: str) -> dict[str, str]:
    """That of the tests without what the client would go by, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(OWN)}
    return kept | {"PYTHONPATH": str(ROOT / "client"), **more}


def command(*arguments: str, environ: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        [PYTHON, "-m", "tailrace", *arguments],
        text=True, env=environment(**(environ or {})), timeout=60, check=False, **options,
    )  # fmt: skip


def receipt(number: int = 1, duplicates: int = 0, **models: dict[str, Any]) -> bytes:
    """A server's answer to one observation."""
    body = {"first": number, "last": number, "accepted": 1 - duplicates, "duplicates": duplicates, "models": models}
    return answer("201 Created", json.dumps(body).encode(), "Content-Type: application/json")


def kept(spool: Spool | Path) -> list[dict[str, Any]]:
    """The observations that wait, oldest first."""
    found = spool if isinstance(spool, Spool) else Spool(spool)
    return [json.loads(path.read_bytes())["observation"] for path in found.waiting()]


def body_of(request: bytes) -> Any:
    """What a request that a listener got says."""
    return json.loads(request.partition(b"\r\n\r\n")[2])


def logged(server: Any, stream: str = "s") -> list[dict[str, Any]]:
    """All observations of a stream of a real server, in order."""
    status, content = server.get(f"/api/v1/streams/{stream}/observations/", Accept="application/x-ndjson")
    assert status == 200, content
    return [json.loads(line) for line in content.splitlines()]
