"""The trial of a new model: it is built, stored, read back, and predicts and learns a sample.

All of it runs in a child process (:mod:`server.learning.budgets.sandbox`), including the reading of an upload. If it hangs,
crashes or takes too much memory there, the caller gets a 400 with the reason.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from server.core.errors import Invalid
from server.learning.budgets import sandbox
from server.learning.fold import replay
from server.learning.fold.estimator_errors import FATAL, BrokenReplica, reason
from server.learning.fold.flavors import Flavor
from server.learning.fold.replica import Replica
from server.learning.pickles import loader
from server.learning.pickles.graph import check_graph
from server.learning.river_adapters import determinism
from server.streams import log
from server.streams.models import Stream

Sample = tuple[dict[str, Any], Any]

STRUCTURAL = re.compile(r"RecursionError|AttributeError: .* has no attribute '\w+_(one|many)'")
"""Errors that an estimator raises for any point, because a part of it lacks a method."""

_MADE_UP: dict[str, Any] = {"number": 1.0, "boolean": True, "category": "a"}
_TARGETS: dict[str, Any] = {"boolean": True, "category": "a", "none": None}
_ANY: tuple[dict[str, Any], ...] = (
    {"a": 1.0, "b": 2.0, "c": 3.0},
    {"a": "some text", "b": "a"},
    {"a": 1.0, "b": "a", "c": True},
)


@dataclass(frozen=True)
class Candidate:
    """An estimator that is not built yet.

    Parameters
    ----------
    build
        Builds it. Raises :class:`Invalid` if that fails.
    """

    build: Callable[[], Any]


def accepted(estimator: Any, flavor: Flavor, stream: Stream | None) -> bytes:
    """Test an estimator, and return it as it is stored.

    Parameters
    ----------
    estimator
        The estimator, or a :class:`Candidate`.
    flavor
        The kind of task.
    stream
        Its stream, whose last observation is used in the trial; None if there is none yet.

    Raises
    ------
    Invalid
        If it can't do the task, can't be replayed, can't be served, or exceeds a budget.
    """
    samples = _samples(stream, flavor)
    config = settings.TAILRACE

    def work(step: sandbox.Step) -> bytes:
        made = estimator.build() if isinstance(estimator, Candidate) else estimator
        flavor.check(made)
        check_graph(made)
        determinism.check(made)
        determinism.seed(made)
        initial = _storable(made)
        segment = None if stream is None else stream.segment
        _try(lambda: _replica(initial, flavor, segment), samples, step)
        return initial

    try:
        return sandbox.run(work, seconds=config.block_seconds, megabytes=config.call_memory_mb)
    except (sandbox.Exceeded, sandbox.Failed) as exc:
        raise Invalid(f"the estimator can't be served: {exc}", field="estimator", code="not_servable") from exc


def _storable(estimator: Any) -> bytes:
    initial = loader.dump_state(estimator)
    most = settings.TAILRACE.model_state_mb
    if len(initial) > most * 2**20:
        raise Invalid(
            f"the estimator takes {len(initial) // 2**20} MB when it is stored: at most {most} MB are allowed",
            field="estimator",
        )
    return initial


def _replica(initial: bytes, flavor: Flavor, segment: str | None) -> Replica:
    estimator = loader.load_state(initial, trusted_modules=replay.trusted(flavor.name))
    window = settings.TAILRACE.rolling_window
    return Replica(0, "the model", 0, flavor, estimator, n=0, window=window, segment=segment)


def _try(make: Callable[[], Replica], samples: list[Sample], step: sandbox.Step) -> None:
    """Let a new replica predict and learn each sample, until one succeeds.

    An estimator that refuses all samples may still be able to learn its stream, unless it lacks a method.
    """
    errors = []
    for x, y in samples:
        step(settings.TAILRACE.call_seconds)
        replica = make()
        step(settings.TAILRACE.call_seconds)
        why = _refusal(replica, x, y)
        if not why:
            step(settings.TAILRACE.call_seconds)
            loader.dump_state(replica.state())
            return
        errors.append(why)
    if all(why.startswith("NotImplementedError") for why in errors):
        raise Invalid(
            "the estimator does not implement the methods to predict and learn a point",
            field="estimator",
            code="not_servable",
        )
    if all(STRUCTURAL.match(why) for why in errors):
        raise Invalid(f"the estimator can't predict and learn: {errors[0]}", field="estimator", code="not_servable")


def _refusal(replica: Replica, x: dict[str, Any], y: Any) -> str:
    """Return the error with which the estimator fails to predict and learn a point; empty if it succeeds."""
    try:
        _, skipped = replica.advance(1, [x], [y])
        if not skipped:
            replica.predict(x)
    except FATAL:
        raise
    except BrokenReplica as exc:
        return exc.reason
    except BaseException as exc:  # whatever an estimator may raise
        return reason(exc)
    return skipped.get(0, "")


def _samples(stream: Stream | None, flavor: Flavor) -> list[Sample]:
    target = _TARGETS.get(flavor.target if stream is None or stream.target_kind == "any" else stream.target_kind, 1.0)
    if stream is None:
        return [(x, target) for x in _ANY]
    last = [
        (x, y)
        for span in log.spans(stream.pk, max(stream.head - 1, stream.whole_after), stream.head)
        for x, y in zip(span.xs, span.ys, strict=True)
        if x is not None
    ]
    if stream.features:
        return [*last, ({name: _MADE_UP[kind] for name, kind in stream.features.items()}, target)]
    return [*last, *((x, target) for x in _ANY)]
