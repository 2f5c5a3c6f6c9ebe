"""What probes say of a real server, waited for."""

import contextlib
import http.client
import threading
import time
from typing import Any

from tests.serving import PATIENCE, Server


def told(server: Server, path: str = "/readyz") -> tuple[int, Any]:
    """Status code and word of a probe; ``(0, "")`` where nothing answers."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        status, data = server.get(path)
        return status, data["status"]
    return 0, ""


def until_told(server: Server, status: int, word: str, path: str = "/readyz") -> None:
    """Wait until a probe says so."""
    deadline = time.monotonic() + PATIENCE
    while (last := told(server, path)) != (status, word):
        assert time.monotonic() < deadline, f"{path} says {last}, not {(status, word)}:\n{logged(server)[-3000:]}"
        threading.Event().wait(0.05)


def until_logged(server: Server, words: str) -> None:
    """Wait until the log has them."""
    deadline = time.monotonic() + PATIENCE
    while words not in logged(server):
        assert time.monotonic() < deadline, f"no {words!r} in the log:\n{logged(server)[-3000:]}"
        threading.Event().wait(0.05)


def logged(server: Server) -> str:
    return server.log.read_text(errors="replace")


def last_words(server: Server) -> str:
    """The last line of a start that came to nothing, which has to end by itself."""
    assert server.process is not None
    assert server.process.wait(PATIENCE) == 1, logged(server)
    return logged(server).strip().splitlines()[-1]
