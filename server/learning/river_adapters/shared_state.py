"""Patches for river's estimators that share state between all models of a process: each call gets its own state.

The fold of a model must not depend on other models in the process. Nearly all estimators keep their state in themselves. The
exceptions:

- SWINN collects the vertices that lose their last edge in ``Vertex._isolated``, a set that belongs to the class. Two threads
  that append to two models mix their vertices, and an append that raises an error leaves its vertices to the next call.
- AMRules names a rule by ``hash(rule)``, its memory address. When a rule is replaced by a longer one, its address is free
  again. If the next rule gets that address, it replaces the other rule. That depends on everything that the process allocates.

SWINN empties the set at the end of each append, and a rule's name matters only while the rule is inserted. So no state needs to
be kept between calls or stored in snapshots.

``tests/learning/test_shared_state.py`` searches river for other shared state.
"""

import functools
import threading
from collections.abc import Iterator
from typing import Any

from river.neighbors.ann.nn_vertex import Vertex
from river.neighbors.ann.swinn import SWINN
from river.rules import amrules


class SetOfCall(threading.local):
    """Replacement for the shared set: each thread has its own set for the append that it runs."""

    def __init__(self) -> None:
        self.values: set[int] = set()

    def add(self, value: int) -> None:
        self.values.add(value)

    def discard(self, value: int) -> None:
        self.values.discard(value)

    def clear(self) -> None:
        self.values.clear()

    def __iter__(self) -> Iterator[int]:
        return iter(self.values)


class RulesOfCall(threading.local):
    """The rules of the model that learns in this thread, by name."""

    def __init__(self) -> None:
        self.rules: dict[int, Any] = {}

    def next_name(self, rule: Any) -> int:
        """Return an unused name, in place of river's ``hash(rule)``."""
        return max(self.rules, default=0) + 1


def install() -> None:
    """Install the patches in this process."""
    if not isinstance(Vertex._isolated, SetOfCall):
        _separate_appends()
        _separate_rules()


def _separate_appends() -> None:
    isolated = SetOfCall()
    append = SWINN.append

    @functools.wraps(append)
    def append_alone(self: SWINN, item: Any, **kwargs: Any) -> None:
        before, isolated.values = isolated.values, set()
        try:
            append(self, item, **kwargs)
        finally:
            isolated.values = before

    Vertex._isolated = isolated  # type: ignore[assignment]
    SWINN.append = append_alone  # type: ignore[method-assign]


def _separate_rules() -> None:
    current = RulesOfCall()
    learn_one = amrules.AMRules.learn_one

    @functools.wraps(learn_one)
    def learn_one_alone(self: amrules.AMRules, *args: Any, **kwargs: Any) -> None:
        before, current.rules = current.rules, self._rules
        try:
            learn_one(self, *args, **kwargs)
        finally:
            current.rules = before

    amrules.hash = current.next_name  # type: ignore[attr-defined]
    amrules.AMRules.learn_one = learn_one_alone  # type: ignore[method-assign]
