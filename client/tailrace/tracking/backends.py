"""Back ends: where the lines of a run are sent, from names, options and the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tailrace.errors import Unusable
from tailrace.observations.fingerprint import fingerprint
from tailrace.similar_names import did_you_mean
from tailrace.transport.endpoint import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["BACKENDS", "OPTIONS", "Backend", "find_backends"]

BACKENDS = ("tailrace", "mlflow", "wandb")
ALIASES = {"opifex": "tailrace"}
MLFLOW_URL = "http://127.0.0.1:5000"

OPTIONS = {
    "url": "address of the Tailrace server; None: TAILRACE_URL",
    "token": "token for the Tailrace server, not written to disk; None: TAILRACE_TOKEN",
    "token_file": "file with the token, read again for each request; None: TAILRACE_TOKEN_FILE",
    "tracking_uri": "address of the MLflow server; None: MLFLOW_TRACKING_URI",
    "mlflow_token": "token for the MLflow server, not written to disk; None: MLFLOW_TRACKING_TOKEN",
    "mlflow_token_file": "file with that token, read again for each request; None: MLFLOW_TRACKING_TOKEN_FILE",
    "project": "project in W&B; None: WANDB_PROJECT, or the experiment's name",
    "entity": "entity in W&B; None: WANDB_ENTITY",
    "wandb_mode": "online or offline; None: WANDB_MODE, or online",
    "wandb_dir": "where W&B writes offline runs; None: WANDB_DIR, or the working directory",
    "physics_domain": "domain of the experiment, in place of the configuration's",
}
"""Options of back ends, by name."""

NEPTUNE = (
    "the service neptune.ai ended in March 2026, so nothing can be sent there: use another back end "
    f"({', '.join(BACKENDS)}). Runs that were kept on disk are imported by `tailrace import-runs .neptune`"
)


@dataclass(frozen=True)
class Backend:
    """A back end of a run.

    Parameters
    ----------
    kind
        One of `BACKENDS`.
    address
        A server's address, or the project in W&B.
    options
        Other options, written to disk with the run.
    secrets
        Options that are never written to disk.
    """

    kind: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> str:
        """Part of file names: the same for the same destination."""
        return f"{self.kind}-{fingerprint(self.address)[:12]}"

    def as_json(self) -> dict[str, Any]:
        """Returns what the spool keeps. It has no secret."""
        return {"kind": self.kind, "address": self.address, "options": dict(self.options)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Backend:
        """Returns the back end that `as_json` described. Raises ValueError if it is not valid."""
        kind, address, options = data.get("kind"), data.get("address"), data.get("options", {})
        if kind not in BACKENDS or not isinstance(address, str) or not isinstance(options, dict):
            raise ValueError(f"it is {data!r}")
        return cls(str(kind), address, {str(name): str(value) for name, value in options.items()})


def find_backends(given: str | Iterable[str], options: Mapping[str, Any], experiment: str) -> list[Backend]:
    """Returns the back ends with these names.

    Parameters
    ----------
    given
        A name, or several.
    options
        See `OPTIONS`. None counts as not given.
    experiment
        Name of the experiment: the default project in W&B.

    Raises
    ------
    Unusable
        If a name or an option is not valid, or a back end does not exist any more.
    """
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise Unusable(f"backend is empty: expected one of {', '.join(BACKENDS)}, or several")
    for name in options:
        if name not in OPTIONS:
            raise Unusable(f"there is no option {name}{did_you_mean(name, OPTIONS)}: there are {', '.join(OPTIONS)}")
    found: dict[str, Backend] = {}
    for name in names:
        backend = _find(name, {key: value for key, value in options.items() if value is not None}, experiment)
        found.setdefault(backend.key, backend)
    return list(found.values())


def _find(name: object, options: Mapping[str, Any], experiment: str) -> Backend:
    kind = ALIASES.get(name, name) if isinstance(name, str) else name
    if kind == "auto":
        kind = "mlflow" if "tracking_uri" in options or os.environ.get("MLFLOW_TRACKING_URI") else "tailrace"
    if kind == "tailrace":
        return _tailrace(options)
    if kind == "mlflow":
        return _mlflow(options)
    if kind == "wandb":
        return _wandb(options, experiment)
    if kind == "neptune":
        raise Unusable(NEPTUNE)
    near = did_you_mean(str(name), BACKENDS)
    raise Unusable(f"there is no back end {name!r}{near}: there are {', '.join(BACKENDS)}")


def _tailrace(options: Mapping[str, Any]) -> Backend:
    server = Endpoint(options.get("url"), token="")
    return Backend("tailrace", server.address, *_credentials(options, "token", "token_file", "TAILRACE_TOKEN_FILE"))


def _mlflow(options: Mapping[str, Any]) -> Backend:
    url = options.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI") or MLFLOW_URL
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise Unusable(
            f"tracking_uri is {url!r}: expected the address of an MLflow server, such as {MLFLOW_URL}; start one for a "
            "directory or a database with `mlflow server --backend-store-uri …`"
        )
    server = Endpoint(url, token="")
    more = _credentials(options, "mlflow_token", "mlflow_token_file", "MLFLOW_TRACKING_TOKEN_FILE")
    return Backend("mlflow", server.address, *more)


def _wandb(options: Mapping[str, Any], experiment: str) -> Backend:
    mode = options.get("wandb_mode") or os.environ.get("WANDB_MODE") or "online"
    if mode not in ("online", "offline"):
        raise Unusable(f"wandb_mode is {mode!r}: expected online or offline")
    project = options.get("project") or os.environ.get("WANDB_PROJECT") or experiment
    entity = options.get("entity") or os.environ.get("WANDB_ENTITY") or ""
    place = os.path.abspath(options.get("wandb_dir") or os.environ.get("WANDB_DIR") or os.getcwd())
    kept = {"mode": mode, "project": str(project), "entity": str(entity), "dir": place}
    return Backend("wandb", f"{entity}/{project}" if entity else str(project), kept)


def _credentials(
    options: Mapping[str, Any], token: str, file: str, variable: str
) -> tuple[dict[str, str], dict[str, Any]]:
    secrets = {}
    if token in options:
        if not isinstance(options[token], str) and not callable(options[token]):
            raise Unusable(
                f"{token} is a value of type {type(options[token]).__name__}: expected text, or a function that returns it"
            )
        secrets["token"] = options[token]
    path = options.get(file) or os.environ.get(variable)
    return ({"token_file": os.path.abspath(str(path))} if path else {}), secrets
