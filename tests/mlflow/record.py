"""``python -m tests.mlflow.record URL FILE``: send the requests to a fresh ``mlflow server`` and write its answers to a file."""

import http.client
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.mlflow.answers import Send, collect


def to_server(url: str) -> Send:
    """Return what sends requests to a server."""
    parts = urlsplit(url)

    def send(method: str, path: str, body: Any) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        connection.request(method, quote(path, safe="/?&=%$:"), data, headers)
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found

    return send


if __name__ == "__main__":
    answers = collect(to_server(sys.argv[1]))
    Path(sys.argv[2]).write_text(
        "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in answers.items()) + "\n}\n"
    )
