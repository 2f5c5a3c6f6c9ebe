"""A model's answers and state are the same whatever other models its process serves, and whatever snapshots were taken.

Over an example of each admitted estimator that learns or answers: two models of the same initial estimator, each with
points of its own.
"""

import functools
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from server.learning.pickles.loader import dump_state, load_state
from server.learning.river_adapters.determinism import NOT_REPEATABLE
from tests.learning.admitted import Use, examples, stream
from tests.learning.state_forms import form

pytestmark = pytest.mark.one_database  # estimators alone

POINTS = 20

STATE_OF_CHANCE = {
    "KolmogorovSmirnov": "the shape of its tree is drawn from the one random state of the process; its answers are exact",
}
"""Classes whose state is another each time and whose answers are not, with the reason."""

IN_ANY_ORDER = {
    "ISOUPTreeRegressor": "its targets are a set of names, whose order a stored copy may change; the values are equal",
}
"""Classes whose answers are mappings in no certain order, with the reason."""


@pytest.fixture(scope="module", autouse=True)
def _as_quiet_as_a_server() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def used() -> dict[str, tuple[bytes, Use]]:
    """Each example that can be used by itself: its stored initial state and its use."""
    found = {name: (initial, Use(initial)) for name, initial in examples().items()}
    return {
        name: (initial, use)
        for name, (initial, use) in found.items()
        if use.calls and type(load_state(initial)).__name__ not in NOT_REPEATABLE
    }


@pytest.fixture(scope="module")
def alone(used: dict[str, tuple[bytes, Use]]) -> dict[str, list[tuple[list[str], str]]]:
    """What two models of each example answer and know, each served by itself."""
    return {name: [run(initial, use, seed) for seed in (1, 2)] for name, (initial, use) in used.items()}


def run(
    initial: bytes,
    use: Use,
    seed: int,
    between: Callable[[Any, int], Any] = lambda model, index: model,
    step: Callable[[Use, Any, Any], Any] = Use.step,
) -> tuple[list[str], str]:
    model = load_state(initial)
    answers = []
    for index, made in enumerate(stream(seed, POINTS)):
        answers.append(told(model, step(use, model, made)))
        model = between(model, index)
    return answers, known(model)


def told(model: Any, answers: list[Any]) -> str:
    if type(model).__name__ in IN_ANY_ORDER:
        answers = [dict(sorted(one.items())) if isinstance(one, dict) else one for one in answers]
    return form(answers)


def known(model: Any) -> str:
    if any(type(part).__name__ in STATE_OF_CHANCE for part in (model, *vars(model).values())):
        return ""
    return form(model)


def test_most_calls_succeed(alone: dict[str, list[tuple[list[str], str]]]) -> None:
    """So that the others compare answers rather than errors."""
    failing = {
        name: said[-1]
        for name, ((said, _), _) in alone.items()
        if sum("admitted.Failed" in one for one in said) > POINTS / 2
    }
    assert not failing


def test_models_that_take_turns_do_not_change_each_other(used: Any, alone: Any) -> None:
    differing = []
    for name, (initial, use) in used.items():
        models = [load_state(initial) for _ in range(3)]
        answers: list[list[str]] = [[], [], []]
        for points in zip(*(stream(seed, POINTS) for seed in (1, 2, 3)), strict=True):
            for which in (0, 2, 1):
                answers[which].append(told(models[which], use.step(models[which], points[which])))
        if [(answers[which], known(models[which])) for which in (0, 1)] != alone[name]:
            differing.append(name)
    assert not differing


def test_a_snapshot_does_not_change_what_follows(used: Any, alone: Any) -> None:
    def stored(model: Any, index: int) -> Any:
        return load_state(dump_state(model)) if index % 9 == 8 else model

    differing = [name for name, (initial, use) in used.items() if run(initial, use, 1, stored) != alone[name][0]]
    assert differing == []


def test_models_in_two_threads_do_not_change_each_other(used: Any, alone: Any) -> None:
    differing, passed = [], 0
    for name, (initial, use) in used.items():
        turns = Turns()
        found = turns.run([functools.partial(run, initial, use, seed) for seed in (1, 2)])
        passed += turns.passed
        if found != alone[name]:
            differing.append(name)
    assert not differing
    assert passed > 10 * len(used)


class Turns:
    """Lets one of two threads run, and passes on every few lines that it runs inside of an estimator."""

    LINES = 41
    MOST = 600

    def __init__(self) -> None:
        self.mine = [threading.Semaphore(1), threading.Semaphore(0)]
        self.ended = [False, False]
        self.left = [self.LINES] * 2
        self.passed = 0

    def run(self, works: list[Callable[..., Any]]) -> list[Any]:
        """What each function gives, called in a thread of its own with a `Use.step` that passes on."""
        found: list[Any] = [None, None]
        threads = [threading.Thread(target=self._work, args=(n, work, found)) for n, work in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def _work(self, which: int, work: Callable[..., Any], found: list[Any]) -> None:
        def at_line(frame: types.FrameType, event: str, _: Any) -> Any:
            self.left[which] -= event == "line"
            if self.left[which] <= 0:
                self.left[which] = self.LINES
                self._pass_on(which)
            return at_line

        def at_call(frame: types.FrameType, event: str, _: Any) -> Any:
            return at_line if "/river/" in (path := frame.f_code.co_filename) or "/tailrace/" in path else None

        def step(use: Use, model: Any, made: Any) -> Any:
            if self.passed < self.MOST:
                sys.settrace(at_call)
            try:
                return use.step(model, made)
            finally:
                sys.settrace(None)

        assert self.mine[which].acquire(timeout=60)
        try:
            found[which] = work(step=step)
        finally:
            self.ended[which] = True
            self.mine[1 - which].release()

    def _pass_on(self, which: int) -> None:
        if not self.ended[1 - which]:
            self.passed += 1
            self.mine[1 - which].release()
            assert self.mine[which].acquire(timeout=60), "the other thread never passed on"
