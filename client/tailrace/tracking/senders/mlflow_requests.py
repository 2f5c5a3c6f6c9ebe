"""Requests to an MLflow server: its REST API, with the limits of each request."""

from __future__ import annotations

import base64
import os
import posixpath
import re
import zlib
from typing import Any
from urllib.parse import quote, urlencode

from tailrace.errors import Refused, Unreachable
from tailrace.tracking.files import ArtifactLost
from tailrace.tracking.lines import LONGEST_KEY
from tailrace.tracking.senders.base import token_of
from tailrace.tracking.senders.requests import send_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.tracking.backends import Backend

__all__ = ["MLflowRequests", "error_code", "mlflow_name", "prepare"]

API = "/api/2.0/mlflow"
PROXIED = "mlflow-artifacts:"
PAGE = 25_000
UNFIT = re.compile(r"[^\w\-./ :]")


def prepare() -> None:
    """Import what uploads need, so that no thread does while a training runs."""
    import urllib.request  # noqa: F401


def mlflow_name(key: str) -> str:
    """Returns a key as MLflow takes it. A key that is changed ends with its checksum, so that no two become one."""
    found = UNFIT.sub("_", key)
    if found.startswith(("/", "..")) or posixpath.normpath(found) != found:
        found = found.replace("/", "_").replace("..", "__")
    if found in ("", ".") or not found.strip():
        found = "_"
    if found == key and len(found) <= LONGEST_KEY:
        return key
    return f"{found[: LONGEST_KEY - 9]}-{zlib.crc32(key.encode('utf-8', 'replace')):08x}"


def error_code(error: Refused) -> str:
    """Returns MLflow's code of an error, such as ``RESOURCE_DOES_NOT_EXIST``; empty if it is not one of MLflow's."""
    return str(error.answer.get("error_code", ""))


class MLflowRequests:
    """Sends requests to an MLflow server.

    It authenticates by a token (``MLFLOW_TRACKING_TOKEN``), or by user and password (``MLFLOW_TRACKING_USERNAME`` and
    ``MLFLOW_TRACKING_PASSWORD``).
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """Send a POST request. Raises like `send_once`."""
        return self._ask("POST", f"{API}/{path}", body)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Send a GET request. Raises like `send_once`."""
        return self._ask("GET", f"{API}/{path}?{urlencode(query)}")

    def history(self, run: str, key: str) -> Iterator[dict[str, Any]]:
        """Yields all points of a metric."""
        page = ""
        while True:
            more = {"page_token": page} if page else {}
            answer = self.get("metrics/get-history", run_id=run, metric_key=key, max_results=PAGE, **more)
            yield from answer.get("metrics", ())
            page = answer.get("next_page_token", "")
            if not page:
                return

    def put_artifact(self, artifact_uri: str, path: str, source: str, size: int) -> None:
        """Send the content of an artifact.

        Raises
        ------
        ArtifactLost
            If the file cannot be read, or if the server does not take artifacts.
        Unreachable, Refused
            If it cannot be sent now.
        """
        if not artifact_uri.startswith(PROXIED):
            place = artifact_uri.partition(":")[0]
            raise ArtifactLost(
                f"the MLflow server stores artifacts in {place}: and does not take them itself: start it with "
                "--serve-artifacts, or log artifacts to another back end"
            )
        import urllib.error
        import urllib.request

        # mlflow-artifacts://host/path and mlflow-artifacts:/path mean the same path of this server.
        inner = re.sub(r"^//[^/]*", "", artifact_uri[len(PROXIED) :]).strip("/")
        url = f"{self.backend.address}/api/2.0/mlflow-artifacts/artifacts/{quote(inner)}/{quote(path)}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream", **self._headers()}
        try:
            file = open(source, "rb")  # noqa: SIM115 - errors of the file are not those of the request
        except OSError as error:
            raise ArtifactLost(f"the file can't be read any more: {error.strerror or error}") from None
        with file:
            if os.fstat(file.fileno()).st_size != size:
                raise ArtifactLost("the file changed before it was sent: log a copy that stays as it is")
            request = urllib.request.Request(url, data=file, headers=headers, method="PUT")  # noqa: S310 - it is http
            try:
                with urllib.request.urlopen(request, timeout=60, **self._tls()) as answer:  # noqa: S310
                    answer.read()
            except urllib.error.HTTPError as error:
                text = error.read(2000).decode("utf-8", "replace")
                message = f"{self.backend.address}: it answered {error.code}: {' '.join(text.split())[:300]}"
                if error.code >= 500 or error.code == 429:
                    raise Unreachable(message) from None
                raise Refused(message, error.code, code="too_large" if error.code == 413 else "") from None
            except Exception as error:
                raise Unreachable(f"{self.backend.address}: no answer ({error})") from None

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = self._headers()
        return send_once(self.backend.address, "", method, path, body, headers=headers)

    def _headers(self) -> dict[str, str]:
        if token := token_of(self.backend, "MLFLOW_TRACKING_TOKEN"):
            return {"Authorization": f"Bearer {token}"}
        user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
        if user and password:
            return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
        return {}

    def _tls(self) -> dict[str, Any]:
        ca_file = os.environ.get("TAILRACE_CA_FILE")
        if not ca_file or not self.backend.address.startswith("https:"):
            return {}
        from tailrace.transport.tls import context

        return {"context": context(ca_file)}
