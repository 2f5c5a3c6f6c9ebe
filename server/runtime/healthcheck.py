"""``python -m server.runtime.healthcheck``: check whether the local server is ready, for the image's ``HEALTHCHECK``.

It exits with 0 or 1 and prints the reason. It runs twice a minute, so it imports little: it reads the environment directly,
which the server has validated.
"""

import http.client
import os
import sys

PATH = "/readyz"
SECONDS = 4.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - address to connect to, by address to listen on


def main() -> int:
    """Request ``/readyz``, print the response and return the exit code."""
    host, _, port = os.environ.get("TAILRACE_BIND", "127.0.0.1:8080").rpartition(":")
    host = host.strip("[]")
    connection = http.client.HTTPConnection(ANY.get(host, host), int(port), timeout=SECONDS)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        print(answer.status, answer.read(1000).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as exc:
        print(f"no response from {host}:{port}{PATH}: {exc or type(exc).__name__}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
