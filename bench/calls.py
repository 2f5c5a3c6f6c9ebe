"""The few calls that a benchmark makes beside its load."""

import json
import urllib.error
import urllib.request
from typing import Any

import dill
from river import linear_model, preprocessing

from bench.errors import BenchError


def call(
    url: str,
    method: str = "GET",
    data: Any = None,
    *,
    raw: bytes | None = None,
    token: str | None = None,
    timeout: float = 120,
) -> Any:
    """Call once, showing ``token`` where there is one, and return the answer's JSON.

    Raises
    ------
    BenchError
        If the answer is not a 2xx.
    """
    body = raw if raw is not None else None if data is None else json.dumps(data).encode()
    kind = "application/octet-stream" if raw is not None else "application/json"
    headers = {"Content-Type": kind} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
    except urllib.error.HTTPError as exc:
        raise BenchError(f"{method} {url} answered {exc.code}: {exc.read()[:500].decode(errors='replace')}") from exc
    except OSError as exc:
        raise BenchError(f"{method} {url}: {exc}") from exc
    return json.loads(text) if text else None


def estimator() -> Any:
    """The model of every row: what the `linear` recipe makes."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)


def upload(url: str, names: tuple[str, ...] = ("linear",), token: str | None = None) -> None:
    """Make models as riverapi does, on the peer and on ours alike."""
    for name in names:
        call(f"{url}/api/model/regression/{name}/", "POST", raw=dill.dumps(estimator()), token=token)


def head(url: str, stream: str) -> int:
    """Number of the last observation in a stream's log, and therefore how many there are."""
    return int(call(f"{url}/api/v1/streams/{stream}/")["head"])


def learned(url: str, model: str) -> int:
    """Number of the last observation that a model has learned."""
    return int(call(f"{url}/api/v1/models/{model}/metrics/")["at"])
