"""The classes that a description may name: river's public classes and those of ``tailrace.estimators``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType

MODULES = (
    "active",
    "anomaly",
    "bandit",
    "cluster",
    "compose",
    "conf",
    "covariance",
    "drift",
    "drift.binary",
    "dummy",
    "ensemble",
    "facto",
    "feature_extraction",
    "feature_selection",
    "forest",
    "imblearn",
    "linear_model",
    "metrics",
    "metrics.multioutput",
    "misc",
    "model_selection",
    "multiclass",
    "multioutput",
    "naive_bayes",
    "neighbors",
    "optim",
    "optim.initializers",
    "optim.losses",
    "optim.schedulers",
    "preprocessing",
    "proba",
    "reco",
    "rules",
    "sketch",
    "stats",
    "time_series",
    "tree",
    "tree.splitter",
)
"""River's public modules with estimators and their parts."""

NOT_DESCRIBABLE: dict[str, str] = {
    "river.compose.FuncTransformer": "it holds a function",
    "river.compose.TargetTransformRegressor": "it holds two functions",
    "river.misc.ZstdClassifier": "it needs Python 3.14",
}
"""Public classes of river that cannot be described, with the reasons."""


@cache
def known_classes() -> dict[str, type]:
    """Returns the classes by full name, in alphabetical order. Callers must not change the dict."""
    found: dict[str, type] = {}
    for name in MODULES:
        _collect(importlib.import_module(f"river.{name}"), found)
    package = importlib.import_module("tailrace.estimators")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not module.name.rpartition(".")[2].startswith("_"):
            _collect(importlib.import_module(module.name), found, own=True)
    return {name: found[name] for name in sorted(found) if name not in NOT_DESCRIBABLE}


def _collect(module: ModuleType, found: dict[str, type], own: bool = False) -> None:
    from river import base

    for name, value in vars(module).items():
        if name.startswith("_") or not isinstance(value, type) or not issubclass(value, base.Base):
            continue
        if inspect.isabstract(value) or (own and value.__module__ != module.__name__):
            continue
        if own or value.__module__ == module.__name__ or name in getattr(module, "__all__", ()):
            found[f"{module.__name__}.{name}"] = value


@cache
def full_names() -> dict[type, str]:
    """Returns the full name of each class; the shortest one if a class is public in two modules."""
    return {cls: name for name, cls in sorted(known_classes().items(), key=lambda item: (-len(item[0]), item[0]))}


def full_name(cls: type) -> str:
    """Returns the name of a class in descriptions, or its module and name if it cannot be described."""
    return full_names().get(cls, f"{cls.__module__}.{cls.__qualname__}")


@cache
def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """Returns the constructor's parameters by name, except ``**keywords``."""
    return {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
