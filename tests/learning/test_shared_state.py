"""River and our own estimators keep nothing that changes outside of the models: found by looking, and reviewed by name."""

import ast
import inspect
import random
import re
import threading
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from river import neighbors, rules
from river.neighbors.ann.nn_vertex import Vertex

from server.learning.pickles import allowlist as allowlist
from server.learning.river_adapters import shared_state

pytestmark = pytest.mark.one_database  # estimators alone

REVIEWED = {
    "tailrace.estimators.arithmetic.CPU": "features of the CPU, only read",
    "tailrace.estimators.arithmetic.KERNELS": "names, only read",
    "tailrace.estimators.arithmetic.NOT_USED": "names, only read",
    "river.drift.page_hinkley.PageHinkley._VALID_MODES": "names, only read",
    "river.ensemble.streaming_random_patches.BaseSRPEnsemble._VALID_TRAINING_METHODS": "names, only read",
    "river.forest.adaptive_random_forest.ARFRegressor._VALID_AGGREGATION_METHOD": "names, only read",
    "river.imblearn.hard_sampling.Triplet._field_defaults": "Python's own of a named tuple, empty",
    "river.metrics.mutual_info.AdjustedMutualInfo._VALID_AVERAGE": "names, only read",
    "river.metrics.mutual_info.NormalizedMutualInfo._VALID_AVERAGE": "names, only read",
    "river.neighbors.ann.nn_vertex.Vertex._isolated": "changes: server.learning.river_adapters.shared_state gives each append its own",
    "river.preprocessing.scale.NW_TO_NP_DTYPES": "kinds of numbers of data frames, only read",
    "river.proba.gaussian.multivariate_normal": "draws from the random state that it is given with each call",
    "river.rules.amrules.AMRules._VALID_PRED": "names, only read",
    "river.rules.amrules.hash": "ours, and changes: server.learning.river_adapters.shared_state tells why",
    "river.stats.kolmogorov_smirnov._random": "the one random state of the process shapes a tree whose answers are exact",
    "river.tree.hoeffding_tree_classifier.HoeffdingTreeClassifier._VALID_LEAF_PREDICTION": "names, only read",
    "river.tree.hoeffding_tree_classifier.HoeffdingTreeClassifier._VALID_SPLIT_CRITERIA": "names, only read",
    "river.tree.hoeffding_tree_regressor.HoeffdingTreeRegressor._VALID_LEAF_PREDICTION": "names, only read",
    "river.tree.stochastic_gradient_tree.f_dist": "a distribution without a state of its own",
    "river.utils.pandas.import_pandas": "remembers a module",
    "tailrace.estimators._bond_features._reader": "remembers functions that keep nothing",
    "tailrace.estimators._calibration._NORMAL": "a distribution without a state of its own",
    "tailrace.estimators.bond_gpr._NORMAL": "a distribution without a state of its own",
    "tailrace.estimators._catalog.NOT_DESCRIBABLE": "names, only read",
    "tailrace.estimators._catalog.full_names": "remembers what the installed river holds",
    "tailrace.estimators._catalog.known_classes": "remembers what the installed river holds",
    "tailrace.estimators._catalog.parameters_of": "remembers signatures",
    "tailrace.estimators._described_values._SCALARS": "types by name, only read",
    "tailrace.estimators.bond_recipes.PAPER": "numbers, only read",
    "tailrace.estimators.bond_recipes.RECIPES": "functions by name, only read",
    "tailrace.estimators.bond_recipes.TUNED": "numbers, only read",
    "tailrace.estimators.bond_recipes._SETS": "numbers by name, only read",
    "tailrace.estimators.description.TYPES": "types by name, only read",
    "tailrace.estimators.description._LEARNED": "names, only read",
    "tailrace.estimators.description._STEPS": "names, only read",
    "tailrace.estimators.extent._COPIES": "names, only read",
    "tailrace.estimators.extent._FORESTS": "names, only read",
    "tailrace.estimators.extent._defaults": "remembers signatures",
    "tailrace.estimators.extent._names": "remembers signatures",
    "tailrace.estimators.limits.CLASS_LIMITS": "numbers, only read",
    "tailrace.estimators.limits.FEWEST": "numbers, only read",
    "tailrace.estimators.limits.PARAMETER_LIMITS": "numbers, only read",
    "tailrace.estimators.limits._class_limits": "remembers numbers",
    "tailrace.estimators.limits.SMALLEST": "numbers, only read",
}
"""Attributes of modules and classes that could change, with why models don't meet in them."""

_FIXED = (
    *(bool, bytes, complex, float, frozenset, int, range, re.Pattern, str, tuple, type, type(None), typing.TypeVar),
    *(
        types.ClassMethodDescriptorType,
        types.UnionType,
        classmethod,
        property,
        staticmethod,
        types.BuiltinFunctionType,
        types.FunctionType,
        types.GenericAlias,
    ),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType, types.ModuleType),
    types.WrapperDescriptorType,
)


def _may_change(value: Any) -> bool:
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.BuiltinMethodType) and not isinstance(owner, (types.ModuleType, type, type(None))):
        return True  # a method of an object, such as random.random
    return not isinstance(value, _FIXED) and type(value).__module__ not in (
        "__future__",
        "dataclasses",
        "numpy",
        "typing",
    )


def changeable() -> set[str]:
    """The attributes of modules and classes whose values may change."""
    found: dict[str, Any] = {}
    classes: set[type] = set()
    for module in allowlist._modules():
        for name, value in vars(module).items():
            if not name.startswith("__") and _may_change(value):
                found[f"{module.__name__}.{name}"] = value
        classes.update(allowlist._classes_of(module))
    for cls in {parent for one in classes for parent in one.__mro__}:
        if cls.__module__.partition(".")[0] not in ("river", "tailrace"):
            continue
        for name, value in vars(cls).items():
            plain = name.startswith("__") or name == "_abc_impl"  # Python's own
            if not plain and _may_change(value) and type(value).__name__ != "_tuplegetter":
                found[f"{cls.__module__}.{cls.__qualname__}.{name}"] = value
    # What a module imported of another is the same object, named where it comes from or, of several, by the first name.
    homes: dict[int, str] = {}
    for name, value in sorted(found.items()):
        if id(value) not in homes or name.startswith(f"{getattr(value, '__module__', None)}."):
            homes[id(value)] = name
    return set(homes.values())


def test_no_module_or_class_keeps_what_was_not_reviewed() -> None:
    found = changeable()
    assert found - set(REVIEWED) == set()
    assert set(REVIEWED) - found == set()


REVIEWED_SOURCE = {
    "river.base.base.log_method_calls sets Base.__getattribute__": "nothing calls it",
    "river.cluster.clustream.CluStreamMicroCluster.__init__ shares a default": "replaced, never changed",
    "river.cluster.odac.ODAC.draw shares a default": "only read",
    "river.compose.pipeline.learn_during_predict sets Pipeline._LEARN_UNSUPERVISED_DURING_PREDICT": "nothing calls it",
}


def shared_by_source() -> Iterator[str]:
    """Assignments to attributes of classes, global statements, and defaults of functions that can change."""
    for module in allowlist._modules():
        if not (getattr(module, "__file__", None) or "").endswith(".py"):
            continue
        tree = ast.parse(inspect.getsource(module))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} | {"cls"}
        for name, function in _functions(tree, module.__name__):
            if any(isinstance(one, (ast.List, ast.Dict, ast.Set, ast.Call)) for one in function.args.defaults):
                yield f"{name} shares a default"
            for node in ast.walk(function):
                if isinstance(node, ast.Global):
                    yield f"{name} sets {', '.join(node.names)}"
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    owner = ast.unparse(node.value)
                    if owner in names or owner.startswith("type(") or "__class__" in owner:
                        yield f"{name} sets {ast.unparse(node)}"


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name = f"{prefix}.{node.name}"
            if isinstance(node, ast.FunctionDef):
                yield name, node
            yield from _functions(node, name)


def test_no_function_sets_what_all_models_share() -> None:
    assert set(shared_by_source()) == set(REVIEWED_SOURCE)


def distance(a: Any, b: Any) -> float:
    return abs(a[0] - b[0])


def swinn(dist_func: Any) -> Any:
    return neighbors.SWINN(graph_k=3, warm_up=8, maxlen=14, dist_func=dist_func, prune_prob=0.3, seed=5)


def test_an_append_that_fails_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = swinn(distance)
    for number in range(10):
        engine.append((number / 7 % 1, None))

    def fails(self: Any, item: Any, k: int, **others: Any) -> Any:
        Vertex._isolated.add(3)
        raise ValueError("no distance")

    monkeypatch.setattr(neighbors.SWINN, "_search", fails)
    with pytest.raises(ValueError, match="no distance"):
        engine.append((0.5, None))
    assert list(Vertex._isolated) == []


def test_threads_have_isolated_vertices_of_their_own() -> None:
    seen: list[list[int]] = []
    Vertex._isolated.add(1)
    thread = threading.Thread(target=lambda: seen.append(list(Vertex._isolated)))
    thread.start()
    thread.join()
    Vertex._isolated.discard(1)
    assert seen == [[]]
    assert list(Vertex._isolated) == []


def learned(noise: int) -> tuple[list[float], int]:
    """What rules answer while other objects come and go in the process, and how many rules there are."""
    model, chance, other = (
        rules.AMRules(n_min=5, delta=0.5, tau=0.5, ordered_rule_set=False),
        random.Random(1),
        random.Random(noise),
    )
    answers, kept = [], []
    for _ in range(350):
        x = {name: chance.random() for name in "abcdefgh"}
        y = 4 * round(3 * x["d"]) + 7 * round(2 * x["e"] + x["f"]) + 10 * (x["a"] > 0.5) + chance.gauss(0, 1)
        answers.append(model.predict_one(x))
        model.learn_one(x, y)
        kept.append([object() for _ in range(other.randrange(50))] if noise else [])
        kept = kept[::2] if noise and other.random() < 0.3 else kept
    return answers, len(model._rules)


def test_rules_are_not_named_by_addresses() -> None:
    assert learned(0) == learned(1)
    model = rules.AMRules(n_min=5, delta=0.5, tau=0.5)
    for number in range(200):
        model.learn_one({"a": number % 10, "b": number % 7}, float(number % 10 > 4) + number % 7)
    assert list(model._rules) == list(range(1, len(model._rules) + 1))
    assert len(model._rules) > 1


def test_what_is_separated_twice_is_separated_once() -> None:
    append, isolated = neighbors.SWINN.append, Vertex._isolated
    shared_state.install()
    assert neighbors.SWINN.append is append
    assert Vertex._isolated is isolated
