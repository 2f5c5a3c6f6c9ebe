"""`ExperimentTracker`: starts runs of an experiment, and logs to the one that is active."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading

from tailrace.errors import Unusable
from tailrace.tracking.backends import find_backends
from tailrace.tracking.config import ExperimentConfig, PhysicsDomain
from tailrace.tracking.lines import now_ms, text_value
from tailrace.tracking.ranks import rank_and_size, shared_uid
from tailrace.tracking.run import Run
from tailrace.tracking.spool_directory import default_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tailrace.tracking.backends import Backend
    from tailrace.tracking.metrics.base import DomainMetrics
    from tailrace.tracking.status import RunStatus

__all__ = ["ExperimentTracker"]

WAIT = 0.05
"""Seconds that the end of a run waits for what is being sent."""

UID = re.compile(r"[0-9a-f]{32}")

DOMAINS = {
    PhysicsDomain.NEURAL_OPERATORS: "neural_operator",
    PhysicsDomain.L2O: "l2o",
    PhysicsDomain.NEURAL_DFT: "neural_dft",
    PhysicsDomain.PINN: "pinn",
    PhysicsDomain.QUANTUM_COMPUTING: "quantum",
}

_open_runs: list[Run] = []


class ExperimentTracker:
    """Starts runs of an experiment, and logs to the one that is active. `ExperimentTracker.create` makes it.

    Attributes
    ----------
    config
        The experiment.
    """

    def __init__(self, config: ExperimentConfig, backends: Iterable[Backend], spool: str, wait: float) -> None:
        self.config = config
        self._backends = list(backends)
        self._spool = spool
        self._wait = wait
        self._active: list[Run] = []
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        places = ", ".join(f"{one.kind} {one.address}" for one in self._backends)
        return f"<ExperimentTracker {self.config.name!r}: {places}>"

    @classmethod
    def create(
        cls, backend: str | Iterable[str] | None = None, config: ExperimentConfig | None = None, *,
        spool: str | os.PathLike[str] | None = None, wait: float | None = None, **options: Any,
    ) -> ExperimentTracker:  # fmt: skip
        """Make a tracker.

        Parameters
        ----------
        backend
            ``tailrace``, ``mlflow``, ``wandb``, or several of them. ``auto``: ``mlflow`` if an address of one is given, else
            ``tailrace``. None: the configuration's.
        config
            The experiment.
        spool
            Directory for lines until they are sent. None: ``TAILRACE_TRACKING_SPOOL``, or ``tracking`` in the spool of
            observations. Processes of one run on several nodes should share it.
        wait
            Most seconds that the end of a run may wait for what is being sent. None: ``TAILRACE_TRACKING_WAIT``, or 0.05.
        options
            ``url`` and ``token`` (or ``token_file``) of the Tailrace server; ``tracking_uri`` and ``mlflow_token`` (or
            ``mlflow_token_file``) of the MLflow server; ``project``, ``entity``, ``wandb_mode`` and ``wandb_dir`` of W&B;
            ``physics_domain``. What is not given comes from the configuration's ``backend_config``, and from the
            environment.

        Raises
        ------
        Unusable
            If a back end or an option is not valid. No server is asked.
        MissingExtra
            If ``wandb`` is wanted and its library is not installed.
        """
        if config is None:
            raise Unusable("config is None: expected an ExperimentConfig, such as ExperimentConfig(name='heat')")
        if not isinstance(config, ExperimentConfig):
            raise Unusable(f"config is a value of type {type(config).__name__}: expected an ExperimentConfig")
        given = {**config.backend_config, **options}
        backends = find_backends(config.backend if backend is None else backend, given, config.name)
        kinds = {one.kind for one in backends}
        if "wandb" in kinds:
            from importlib.util import find_spec

            if find_spec("wandb") is None:
                from tailrace.optional_dependencies import require

                require("wandb")
        if "mlflow" in kinds:
            from tailrace.tracking.senders import mlflow, mlflow_requests  # noqa: F401

            mlflow_requests.prepare()
        if "tailrace" in kinds:
            from tailrace.tracking.senders import tailrace  # noqa: F401
        if given.get("physics_domain") is not None:
            from dataclasses import replace

            config = replace(config, physics_domain=given["physics_domain"])
        return cls(config, backends, default_place(spool), _seconds(wait))

    def start_run(
        self, name: str | None = None, *, run_id: str | None = None, shared: bool = False, parent: str | None = None,
        params: Mapping[str, Any] | None = None, tags: Mapping[str, Any] | None = None,
    ) -> Run:  # fmt: skip
        """Start a run, or go on with one. The result is a context manager; without it, call `end_run`.

        While another run is active, the new one is nested in it.

        Parameters
        ----------
        name
            Name of the run. None: the time.
        run_id
            Identifier: 32 hexadecimal digits. A run that has it is resumed, also one that another process or node
            started. None: ``TAILRACE_RUN``, or a new one.
        shared
            Whether all processes of the scheduler's job log to one run. They get its identifier from the job's number.
        parent
            Identifier of the run that this one belongs to. None: the active run, if there is one.
        params, tags
            First parameters and tags, besides the configuration's.

        Raises
        ------
        Unusable
            If `run_id` is not valid.
        """
        with self._starting:
            given = run_id or ("" if self._active else os.environ.get("TAILRACE_RUN", ""))
            if not given and shared:
                given = shared_uid(self.config.name)
            uid = given or os.urandom(16).hex()
            if not UID.fullmatch(uid):
                raise Unusable(f"run_id is {uid!r}: expected 32 digits from 0 to 9 and a to f")
            if parent is None and self._active:
                parent = self._active[-1].id
            header = self._header(uid, name, parent, shared=bool(given))
            run = _TrackedRun(self, uid, header, self._backends, self._spool, _domain(self.config), self._wait)
            if not header.get("rank"):
                self._log_first(run, params or {}, tags or {}, resumed=bool(given))
            self._active.append(run)
            _end_at_exit(run)
            return run

    @property
    def run(self) -> Run:
        """The active run. If there is none, one is started."""
        active = self._active
        return active[-1] if active else self.start_run()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None, timestamp: int | None = None) -> None:
        """See `Run.log_metrics`."""
        self.run.log_metrics(metrics, step, timestamp)

    def log_metric(self, key: str, value: Any, step: int | None = None, timestamp: int | None = None) -> None:
        """See `Run.log_metric`."""
        self.run.log_metric(key, value, step, timestamp)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """See `Run.log_params`."""
        self.run.log_params(params)

    log_parameters = log_params

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """See `Run.set_tags`."""
        self.run.set_tags(tags)

    def log_physics_metrics(self, metrics: DomainMetrics | Mapping[str, Any], step: int | None = None) -> None:
        """See `Run.log_physics_metrics`."""
        self.run.log_physics_metrics(metrics, step)

    def log_model(self, model: Any, model_name: str = "model", **facts: Any) -> None:
        """See `Run.log_model`."""
        self.run.log_model(model, model_name, **facts)

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """See `Run.log_artifact`."""
        self.run.log_artifact(local_path, artifact_path)

    def link(self, **things: Any) -> None:
        """See `Run.link`."""
        self.run.link(**things)

    def end_run(self, status: str = "FINISHED") -> None:
        """End the active run, if there is one. See `Run.end`."""
        if self._active:
            self._active[-1].end(status)

    def status(self) -> RunStatus:
        """See `Run.status`."""
        return self.run.status()

    def _log_first(self, run: Run, params: Mapping[str, Any], tags: Mapping[str, Any], *, resumed: bool) -> None:
        """Log what the configuration says."""
        source = sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""
        first = {"mlflow.source.name": source} if source else {}
        run.set_tags({**first, **self.config.run_tags(), **tags})
        if given := {**self.config.run_params(), **params}:
            run.log_params(given)
        if resumed:
            run._log_status("RUNNING")

    def _header(self, uid: str, name: str | None, parent: str | None, *, shared: bool) -> dict[str, Any]:
        header: dict[str, Any] = {
            "kind": "run", "uid": uid, "experiment": self.config.name, "name": text_value(name or "")[0][:500],
            "parent": parent or "", "started_ms": now_ms(), "user": _user(),
        }  # fmt: skip
        rank, ranks = rank_and_size()
        if shared and ranks > 1:
            header.update(rank=rank, ranks=ranks)
        return header


class _TrackedRun(Run):
    """A run that its tracker logs to until it ends."""

    def __init__(self, tracker: ExperimentTracker, *given: Any) -> None:
        super().__init__(*given)
        self._tracker = tracker

    def end(self, status: str = "FINISHED") -> None:
        if self in self._tracker._active:
            self._tracker._active.remove(self)
        if self in _open_runs:
            _open_runs.remove(self)
        super().end(status)


_at_exit = False


def _end_at_exit(run: Run) -> None:
    global _at_exit
    if not _at_exit:
        _at_exit = True
        atexit.register(_end_open_runs)
    _open_runs.append(run)


def _end_open_runs() -> None:
    """End runs that the training left open: as failed, if an error ended the program."""
    failed = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for run in reversed(list(_open_runs)):
        if run._process == os.getpid():
            run.end("FAILED" if failed else "FINISHED")


def _domain(config: ExperimentConfig) -> str:
    """Returns the domain of metrics that are logged without a type."""
    domain = config.physics_domain
    if isinstance(domain, PhysicsDomain):
        return DOMAINS.get(domain) or domain.value.replace("-", "_")
    return domain.replace("-", "_")


def _seconds(given: float | None) -> float:
    text = os.environ.get("TAILRACE_TRACKING_WAIT") or WAIT if given is None else given
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        where = "TAILRACE_TRACKING_WAIT" if given is None else "wait"
        raise Unusable(f"{where} is {text!r}: expected seconds, such as {WAIT}")
    return seconds


def _user() -> str:
    for name in ("LOGNAME", "USER", "USERNAME"):
        if os.environ.get(name):
            return os.environ[name]
    return str(os.getuid())
