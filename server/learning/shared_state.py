"""What river keeps once for all models of a process, given to each call of each model instead.

The fold of a model must not depend on the other models that the process serves. Nearly all estimators keep what they know
in themselves. The exceptions:

- SWINN notes the vertices that lose their last edge in ``Vertex._isolated``, a set that belongs to the class. Two threads
  that append to two models read each other's notes, and an append that raises leaves its notes to whoever comes next.
- AMRules names a rule by ``hash(rule)``, its address in memory. An address is free again once its rule was replaced by a
  longer one. If the next rule lands there, it takes the other one's place, which depends on all that the process allocates.

SWINN empties the set at the end of each append, so that it carries nothing from one call to the next, and a rule's name
matters only while the rule is put in its place. So each call has a state of its own, and none of it needs to be stored: a
snapshot is taken between calls.

``tests/learning/test_shared_state.py`` looks through river for more of the kind.
"""

import functools
import threading
from collections.abc import Iterator
from typing import Any

from river.neighbors.ann.nn_vertex import Vertex
from river.neighbors.ann.swinn import SWINN
from river.rules import amrules


class SetOfCall(threading.local):
    """Stands for a set: the one of the append that runs in this thread."""

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
        """A name that none of the rules has: what stands for river's ``hash(rule)``."""
        return max(self.rules, default=0) + 1


def separate() -> None:
    """Give each call of a model the state that river keeps for all, in this process, from now on."""
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
