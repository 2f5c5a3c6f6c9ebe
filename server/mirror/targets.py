"""Targets: an MLflow server (a Tailrace server counts as one), or W&B."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tailrace.errors import TailraceError as ClientError
from tailrace.errors import Unusable
from tailrace.tracking.backends import Backend, find_backends
from tailrace.tracking.senders.mlflow import MLflowSender
from tailrace.tracking.senders.mlflow_requests import MLflowRequests

from server.core.errors import Invalid
from server.mirror.pacing import Pace

MLFLOW, WANDB = "mlflow", "wandb"
KINDS = (MLFLOW, WANDB)
PREFIX = re.compile(r"[A-Za-z0-9._-]{0,50}\Z")


class Requests(MLflowRequests):
    """Requests to an MLflow server at the target's pace."""

    def __init__(self, backend: Backend, pace: Pace) -> None:
        super().__init__(backend)
        self._pace = pace

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        return self._ask("PATCH", f"/api/2.0/mlflow/{path}", body)

    def put_artifact(self, artifact_uri: str, path: str, source: str, size: int) -> None:
        self._pace.wait()
        super().put_artifact(artifact_uri, path, source, size)

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        self._pace.wait()
        return super()._ask(method, path, body)


class PacedSender(MLflowSender):
    """Sends to an MLflow server at the target's pace."""

    def __init__(self, requests: Requests, *given: Any) -> None:
        super().__init__(requests.backend, *given)
        self._requests = requests


def find(
    kind: str, *, uri: str | None = None, token_file: str | None = None, project: str | None = None,
    folder: str | None = None, mode: str | None = None,
) -> Backend:  # fmt: skip
    """Return the target.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    uri, token_file
        Of an MLflow server: its address, and a file with a token. A token comes from ``MLFLOW_TRACKING_TOKEN`` otherwise.
    project, folder, mode
        Of W&B: the project, the folder of offline runs, and ``online`` or ``offline``.

    Raises
    ------
    Invalid
        If a value is not valid, or holds a password.
    """
    if uri and "@" in urlsplit(uri).netloc:
        raise Invalid(
            "the address holds a user or a password: put a token into the variable MLFLOW_TRACKING_TOKEN or a file (--token-file), "
            "or both into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    given: dict[str, Any] = (
        {"tracking_uri": uri, "mlflow_token_file": token_file}
        if kind == MLFLOW
        else {"project": project, "wandb_dir": folder, "wandb_mode": mode}
    )
    try:
        (found,) = find_backends(kind, given, "tailrace")
    except Unusable as exc:
        raise Invalid(str(exc).replace("tracking_uri", "--uri")) from exc
    return found


def check_prefix(prefix: str) -> str:
    """Return the prefix of names at the target, if registered models may have it.

    Raises
    ------
    Invalid
        If it has other characters than letters, digits, ``.``, ``_`` and ``-``, or more than 50.
    """
    if not PREFIX.match(prefix):
        raise Invalid(f"--prefix is {prefix!r}: expected at most 50 letters, digits, '.', '_' or '-'")
    return prefix


@contextmanager
def as_invalid() -> Iterator[None]:
    """Run the block; raise an error of the target as :class:`Invalid`."""
    try:
        yield
    except ClientError as exc:
        raise Invalid(str(exc)) from exc


def requests_to(backend: Backend, rate: float = 0.0, stopping: threading.Event | None = None) -> Requests:
    """Return what sends requests to an MLflow server, at most ``rate`` a second (0: without limit)."""
    return Requests(backend, Pace(rate, stopping or threading.Event()))
