"""``python -m server.healthcheck``: whether the server beside it is ready, for the image's ``HEALTHCHECK``.

It exits with 0 or 1 and says why. It runs twice a minute, so it loads little: the settings come straight from the
environment, and the server has checked them.
"""

import http.client
import os
import sys

PATH = "/readyz"
SECONDS = 4.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what it listens on, by what it is reached at


def main() -> int:
    """Ask it, and print what it says."""
    host, _, port = os.environ.get("TAILRACE_BIND", "127.0.0.1:8080").rpartition(":")
    host = host.strip("[]")
    connection = http.client.HTTPConnection(ANY.get(host, host), int(port), timeout=SECONDS)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        print(answer.status, answer.read(1000).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as exc:
        print(f"nothing answers at {host}:{port}{PATH}: {exc or type(exc).__name__}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
