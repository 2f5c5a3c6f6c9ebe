"""Which estimators write to the mapping that they are given: tried with each that is admitted, and read in the source."""

import ast
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from river import anomaly, base, compose, ensemble, feature_extraction, linear_model, preprocessing, tree, utils

from server.learning.pickles import allowlist as allowlist
from server.learning.pickles.loader import dump_state, load_state
from server.learning.river_adapters.input_writers import WRITES_TO_INPUT, WRITES_WHEN_CALLED, writes_to_input
from tests.learning.admitted import Use, answer, examples, fresh, stream
from tests.learning.state_forms import form

pytestmark = pytest.mark.one_database  # estimators alone


@pytest.fixture(scope="module", autouse=True)
def _as_quiet_as_a_server() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


SIZES = ({"a": 3}, {"a": True, "b": 2.5}, {"kind": "red"}, {"kind": "3", "b": 0, "a": 1.5}, {"z": 1, "p_a": 2, "a": 0})
"""Points of one feature and of more, with features that a model has seen, and that it has not."""


def written(model: Any, calls: list[tuple[str, tuple[str, ...]]]) -> str | None:
    """The first call that changed an argument, with the argument before and after."""
    points = [
        *stream(1, 12),
        *({**made, "mixed": x, "numbers": x} for made, x in zip(stream(2, 5), SIZES, strict=True)),
    ]
    for made in points:
        for name, parts in calls:
            arguments = [fresh(made[part]) for part in parts]
            answer(model, name, arguments)
            for part, argument in zip(parts, arguments, strict=True):
                if repr(argument) != repr(made[part]):  # order and types as well: 1, 1.0 and True are equal
                    return f"{name}: {made[part]} became {argument}"
    return None


def placed(initial: bytes) -> Iterator[Any]:
    """The estimator by itself, in a pipeline, in a union, and within an ensemble, as far as it may be there."""
    yield load_state(initial)
    one = load_state(initial)
    if isinstance(one, compose.Pipeline) or not hasattr(one, "learn_one"):
        return
    if isinstance(one, base.Transformer):
        end = linear_model.LinearRegression
        yield load_state(initial) | end()
        yield (compose.Select("a") + load_state(initial)) | end()
        yield (preprocessing.StatImputer() | load_state(initial)) | end()
        yield ensemble.BaggingRegressor(load_state(initial) | end(), n_models=2, seed=1)
        yield anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9) | load_state(initial) | end()
    elif "DummyDriftDetector" in form(one):
        return  # which no ensemble can make a clone of
    elif isinstance(one, base.Classifier):
        yield ensemble.BaggingClassifier(one, n_models=2, seed=1)
        yield feature_extraction.PolynomialExtender() | load_state(initial)
    elif isinstance(one, base.Regressor):
        yield ensemble.EWARegressor([one, linear_model.LinearRegression()])
        yield compose.Select("a", "kind", "bond") | load_state(initial)


def test_exactly_the_named_classes_change_what_they_are_given() -> None:
    unknown, seen = [], set()
    for name, initial in examples().items():
        use = Use(initial)
        for model in placed(initial) if use.calls else ():
            calls = [call for call in use.calls if callable(getattr(model, call[0], None))]
            calls += [("predict_one", use.calls[0][1][:1])] if isinstance(model, compose.Pipeline) else []
            found = written(model, calls)
            if found and not writes_to_input(model):
                unknown.append(f"{name}, in {type(model).__name__}: {found}")
            if found:
                seen.add(f"{type(load_state(initial)).__module__}.{type(load_state(initial)).__qualname__}")
    assert not unknown
    assert seen >= set(WRITES_TO_INPUT), "a class that never writes is named as one that does"


def test_few_models_are_said_to_write() -> None:
    """So that the many others need no copy."""
    said = {name for name, initial in examples().items() if writes_to_input(load_state(initial))}
    assert said == {"river.compose.Renamer", "renamed", "renamed in a union"}


def test_no_other_class_or_function_that_an_upload_may_hold_changes_what_it_is_called_with() -> None:
    found = set()
    for held in allowlist._table().values():
        function = held.real if isinstance(held, allowlist.Only) else held
        for arguments in ((), (1.0,), ("a",)) if callable(function) else ():
            x = {"a": 1, "b": True}
            answer(types.SimpleNamespace(call=function), "call", [x, *arguments])
            if repr(x) != repr({"a": 1, "b": True}):
                found.add(function)
    assert found == set(WRITES_WHEN_CALLED)


WRITERS = {
    "alone": compose.Renamer({"a": "b"}),
    "at the end of a pipeline": preprocessing.StandardScaler() | compose.Renamer({"a": "b"}),
    "in a union": compose.Select("a") + compose.Renamer({"a": "b"}),
    "in an ensemble": ensemble.BaggingRegressor(compose.Renamer({"a": "b"}) | linear_model.LinearRegression(), 2),
    "one of a stack": ensemble.StackingClassifier(
        [tree.HoeffdingTreeClassifier(), compose.Renamer({"a": "b"}) | tree.HoeffdingTreeClassifier()],
        linear_model.LogisticRegression(),
    ),
    "made later": functools.partial(compose.Renamer, {"a": "b"}),
    "a class in place of a function": feature_extraction.BagOfWords(tokenizer=utils.VectorDict),
    "a partial in place of a function": feature_extraction.BagOfWords(tokenizer=functools.partial(utils.VectorDict)),
    "a function of the operator's": compose.FuncTransformer(stream),
}


@pytest.mark.parametrize("holder", WRITERS.values(), ids=WRITERS)
def test_what_writes_is_found_wherever_it_is_held(holder: Any) -> None:
    assert writes_to_input(holder)


def test_a_vector_is_no_writer_where_it_is_made_of_nothing_that_was_given() -> None:
    assert not writes_to_input(linear_model.SoftmaxRegression())
    assert not writes_to_input(load_state(dump_state(linear_model.LinearRegression())))


_CHANGING = frozenset(("clear", "pop", "popitem", "setdefault", "update", "__setitem__", "__delitem__", "__ior__"))


def written_parameters(function: ast.FunctionDef) -> Iterator[str]:
    """The parameters of mappings that a function changes before it makes them its own by another assignment."""
    for name in {argument.arg for argument in function.args.args} & {"x", "X", "features"}:
        rebound = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Assign) and _assigns(node, name)]
        changed = [node.lineno for node in ast.walk(function) if _changes(node, name)]
        if changed and min(changed) < min(rebound, default=sys.maxsize):
            yield name


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _changes(node: ast.AST, name: str) -> bool:
    def is_it(value: ast.AST) -> bool:
        return isinstance(value, ast.Name) and value.id == name

    if isinstance(node, ast.Subscript):
        return is_it(node.value) and isinstance(node.ctx, (ast.Store, ast.Del))
    if isinstance(node, ast.AugAssign):
        return is_it(node.target) and isinstance(node.op, ast.BitOr)
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and is_it(called.value) and called.attr in _CHANGING


def test_the_source_of_what_is_admitted_writes_to_no_other_mapping() -> None:
    found = set()
    for module in allowlist._modules():
        if not getattr(module, "__file__", "").endswith(".py"):
            continue  # of what is written in Rust, the test above tells
        for cls in ast.walk(ast.parse(inspect.getsource(module))):
            for function in cls.body if isinstance(cls, (ast.ClassDef, ast.Module)) else ():
                if isinstance(function, ast.FunctionDef) and any(written_parameters(function)):
                    found.add(f"{module.__name__}.{getattr(cls, 'name', '')}")
    # A statistic's `x` is a number or, in a sketch, a key: `update` of those is their own method.
    assert found == set(WRITES_TO_INPUT)
