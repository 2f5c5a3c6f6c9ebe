"""`Run`: logs metrics, parameters, tags and artifacts of one training, and never fails it."""

from __future__ import annotations

import os
import time

from tailrace.tracking import files
from tailrace.tracking.calls import Problems, never_raises
from tailrace.tracking.lines import LARGEST_STEP, Names, json_line, metric_value, now_ms, pieces, text_value
from tailrace.tracking.models import serialized
from tailrace.tracking.spool_directory import FILES
from tailrace.tracking.writer import RunWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from tailrace.tracking.backends import Backend
    from tailrace.tracking.metrics.base import DomainMetrics
    from tailrace.tracking.status import RunStatus

__all__ = ["Run"]

MOST_FILES = 10_000
LINKED = ("model", "stream", "calculation", "cell")
STEP_NAMES = ("step", "epoch", "iteration")


class Run:
    """One training. `ExperimentTracker.start_run` makes it.

    No method raises an error if a value, the disk or the network is not as expected: see `status`.

    Attributes
    ----------
    id
        Its identifier: 32 hexadecimal digits.
    """

    def __init__(
        self, uid: str, header: Mapping[str, Any], backends: Sequence[Backend], place: str, domain: str, wait: float
    ) -> None:
        self.id = uid
        self.ended = False
        self._writer = RunWriter(uid, header, backends, place)
        self._domain = domain
        self._wait = wait
        self._problems = Problems()
        self._names = Names()
        self._json_keys: dict[str, str] = {}
        self._steps = 0
        self._process = os.getpid()
        self._owns_status = not header.get("rank")

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.end("FINISHED" if kind is None else "KILLED" if stopped else "FAILED")

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None, timestamp: int | None = None) -> None:
        """Log values of metrics.

        Parameters
        ----------
        metrics
            Numbers by name. NaN and infinities are kept as they are. Tensors and arrays of one element are numbers.
        step
            Step, epoch or iteration. Steps may come late or twice. None: the metric ``step``, ``epoch`` or ``iteration``
            if it is a whole number; else the number of such calls before.
        timestamp
            When, in Unix milliseconds. None: now.
        """
        try:
            if step.__class__ is not int or timestamp is not None:
                step, timestamp = self._step(metrics, step), self._time(timestamp)
            keys = self._json_keys
            parts = []
            for name, value in metrics.items():
                if (value.__class__ is float and value - value == 0.0) or (
                    value.__class__ is int and -LARGEST_STEP <= value <= LARGEST_STEP
                ):
                    parts.append(f"{keys[name]}{value!r}")
                else:
                    raise KeyError(name)
            if len(parts) > 1000 or not -LARGEST_STEP <= step <= LARGEST_STEP:  # type: ignore[operator]
                raise KeyError(step)
            self._writer.append(
                f'{{"kind":"metrics","step":{step},"time_ms":{timestamp or time.time_ns() // 1_000_000},'
                f'"values":{{{",".join(parts)}}}}}\n'.encode("ascii")
            )
        except Exception:
            self._log_metrics(metrics, step, timestamp)

    def log_metric(self, key: str, value: Any, step: int | None = None, timestamp: int | None = None) -> None:
        """Log the value of one metric. See `log_metrics`."""
        self.log_metrics({key: value}, step, timestamp)

    @never_raises
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters. A parameter keeps its first value: another value for it is refused by the back ends."""
        self._log_texts("params", params)

    log_parameters = log_params

    def log_param(self, key: str, value: Any) -> None:
        """Log one parameter."""
        self.log_params({key: value})

    @never_raises
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags. A later value of a tag replaces an earlier one."""
        self._log_texts("tags", tags)

    def set_tag(self, key: str, value: Any) -> None:
        """Set one tag."""
        self.set_tags({key: value})

    @never_raises
    def log_physics_metrics(self, metrics: DomainMetrics | Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics of a domain, such as `NeuralOperatorMetrics`. Its checks are evaluated and logged with it.

        Parameters
        ----------
        metrics
            An instance of a metric type, or numbers and texts by name. For the latter, the domain is the configuration's.
        step
            See `log_metrics`. None: none.
        """
        from tailrace.tracking.metrics.base import DomainMetrics

        if isinstance(metrics, DomainMetrics):
            domain, values = metrics.domain, metrics.as_document()
        else:
            domain, values = self._domain, dict(metrics)
        document, names = _document(values, self._problems)
        line = {"kind": "domain", "domain": domain, "step": None if step is None else int(step), "time_ms": now_ms()}
        for piece in pieces(document):
            self._writer.append(json_line({**line, "values": piece}))
        for name in names:
            self._problems.add(name)

    @never_raises
    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file, or all files of a directory.

        Small files are copied at once. A large one is cloned or linked if the file system can, and read in the background:
        do not change it in place. Replacing it by another file is fine.

        Parameters
        ----------
        local_path
            The file or directory.
        artifact_path
            Directory among the run's artifacts. None: their root.
        """
        source = os.fspath(local_path)
        above = [] if artifact_path is None else [artifact_path]
        if not os.path.isdir(source):
            self._log_file(source, "/".join([*above, os.path.basename(source)]))
            return
        root = os.path.basename(os.path.abspath(source))
        count = 0
        for directory, _, names in os.walk(source):
            for name in sorted(names):
                count += 1
                if count > MOST_FILES:
                    self._problems.add(f"artifact {source}: it has more than {MOST_FILES} files; the rest was left out")
                    return
                inner = os.path.relpath(os.path.join(directory, name), source)
                self._log_file(os.path.join(directory, name), "/".join([*above, root, inner]))

    @never_raises
    def log_model(self, model: Any, model_name: str = "model", **facts: Any) -> None:
        """Log a trained model as an artifact ``models/NAME``.

        A path is logged like an artifact. A module of PyTorch is written by ``torch.save`` (its state), arrays of NumPy by
        ``numpy.savez``, anything else by ``pickle``. This takes as long as writing it takes, because training may change
        the model right after.

        Parameters
        ----------
        model
            The model.
        model_name
            Its name.
        facts
            More about it, kept as JSON beside it, such as ``physics_metadata``.
        """
        name = files.check_path(model_name)
        if isinstance(model, (str, os.PathLike)) and os.path.exists(model):
            self.log_artifact(model, f"models/{name}")
            return
        directory = os.path.join(self._writer.directory, FILES)
        for path, inner in serialized(model, facts, directory):
            self._announce(f"models/{name}/{inner}", path, os.path.getsize(path), os.stat(path).st_mtime_ns)

    @never_raises
    def link(
        self, *, model: str | None = None, stream: str | None = None, calculation: Any = None, cell: Any = None,
        at: int | None = None,
    ) -> None:  # fmt: skip
        """Link the run to things on a Tailrace server: what it used, or made.

        Parameters
        ----------
        model, stream, calculation, cell
            Names or numbers of these.
        at
            Number of the observation that a model or stream had then.
        """
        for kind, name in zip(LINKED, (model, stream, calculation, cell)):  # noqa: B905 - the client runs on 3.9
            if name is not None:
                line = {"kind": "link", "to": kind, "name": str(name), "at": None if at is None else int(at)}
                self._writer.append(json_line(line))

    def end(self, status: str = "FINISHED") -> None:
        """End the run. What is not sent within 50 ms (``TAILRACE_TRACKING_WAIT``) is sent in the background.

        Parameters
        ----------
        status
            ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if self.ended:
            return
        self.ended = True
        if self._process == os.getpid() and (self._owns_status or status != "FINISHED"):
            self._log_status(status)
        self._writer.end(self._wait)

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything that was logged is sent, or for so many seconds. Returns whether it is.

        A training need not call this.
        """
        return self._writer.flush(timeout)

    def status(self) -> RunStatus:
        """Returns, for each back end, what it has, what is kept, and what was refused and why."""
        return self._writer.status(self._problems)

    @never_raises
    def _log_status(self, status: str) -> None:
        self._writer.append(json_line({"kind": "status", "status": status, "time_ms": now_ms()}))

    @never_raises
    def _log_metrics(self, metrics: Mapping[str, Any], step: int | None, timestamp: int | None) -> None:
        """The slow way of `log_metrics`: names that are new, and values that are not plain finite numbers."""
        values: dict[str, Any] = {}
        for name, value in dict(metrics).items():
            try:
                values[self._names(name)] = found = metric_value(value)
            except ValueError as error:
                self._problems.add(f"metric {name}: {error}")
                continue
            if isinstance(name, str) and len(self._json_keys) < 100_000 and isinstance(found, float):
                self._json_keys[name] = json_line({self._names(name): 0}).decode()[1:-4] + ":"
        at = {"step": self._step(metrics, step), "time_ms": self._time(timestamp) or now_ms()}
        if not -LARGEST_STEP <= at["step"] <= LARGEST_STEP:
            self._problems.add(f"step {at['step']}: expected a number of at most 64 bits")
            return
        if tags := self._names.explained(metrics):
            self._writer.append(json_line({"kind": "tags", "values": tags}))
        for piece in pieces(values):
            self._writer.append(json_line({"kind": "metrics", **at, "values": piece}))

    def _step(self, metrics: Mapping[str, Any], step: int | None) -> int:
        if step is not None:
            return int(step)
        for name in STEP_NAMES:
            value = metrics.get(name)
            if value.__class__ is int or (value.__class__ is float and value.is_integer()):
                return int(value)  # type: ignore[arg-type]
        self._steps += 1
        return self._steps - 1

    def _time(self, timestamp: int | None) -> int:
        return 0 if timestamp is None else int(timestamp)

    def _log_texts(self, kind: str, given: Mapping[str, Any]) -> None:
        values, explained = {}, self._names.explained(given)
        for name, value in dict(given).items():
            key = self._names(name)
            values[key], whole = text_value(value)
            if whole is not None:
                self._problems.add(f"{kind[:-1]} {key}: {len(whole)} characters were shortened to {len(values[key])}")
        if explained:
            self._writer.append(json_line({"kind": "tags", "values": explained}))
        for piece in pieces(values):
            self._writer.append(json_line({"kind": kind, "values": piece}))

    def _log_file(self, source: str, path: str) -> None:
        try:
            path = files.check_path(path)
            name = f"{os.urandom(8).hex()}-{os.path.basename(source)[-80:]}"
            kept, size, changed_ns = files.keep(source, os.path.join(self._writer.directory, FILES), name)
        except (OSError, ValueError) as error:
            self._problems.add(f"artifact {source}: {error}")
            return
        self._announce(path, kept, size, changed_ns)

    def _announce(self, path: str, kept: str, size: int, changed_ns: int) -> None:
        line = {"kind": "artifact", "path": path, "source": kept, "size": size, "changed_ns": changed_ns}
        self._writer.append(json_line(line))


def _document(values: Mapping[str, Any], problems: Problems, above: str = "") -> tuple[dict[str, Any], list[str]]:
    """Returns a document as a line holds it, and what could not be kept."""
    found: dict[str, Any] = {}
    lost: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, dict):
            found[str(name)], more = _document(value, problems, f"{above}{name}.")
            lost += more
        elif isinstance(value, str):
            found[str(name)] = text_value(value)[0]
        elif value.__class__ is bool or (value.__class__ is int and abs(value) <= LARGEST_STEP):
            found[str(name)] = value
        elif isinstance(value, (list, tuple)):
            found[str(name)] = [_item(one) for one in value[:1000]]
        else:
            try:
                found[str(name)] = metric_value(value)
            except ValueError as error:
                lost.append(f"{above}{name}: {error}")
    return found, lost


def _item(value: Any) -> Any:
    if isinstance(value, (bool, int, str)):
        return value
    try:
        return metric_value(value)
    except ValueError:
        return text_value(value)[0]
