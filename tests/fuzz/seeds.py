"""Real uploads to start from: the admitted estimators, untrained and trained, as dill and pickle write them."""

import inspect
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dill
import river.api
from river import base, stats

PICKLERS: tuple[Callable[[Any], bytes], ...] = (
    dill.dumps,
    lambda model: pickle.dumps(model, 3),
    lambda model: pickle.dumps(model, 4),
    lambda model: pickle.dumps(model, 5),
)
NOT_SENT = {"base", "compat", "datasets", "evaluate", "stream", "utils"}
LARGEST = 20_000
"""Bytes of the largest upload that is mutated, so that thousands of cases take a minute."""


def estimators() -> Iterator[Any]:
    """Each estimator that river makes for its own tests, in an order that stays."""
    for module_name in sorted(set(river.api.__all__) - NOT_SENT):
        module = getattr(river.api, module_name)
        for name in sorted(getattr(module, "__all__", ())):
            cls = getattr(module, name, None)
            if not isinstance(cls, type) or not issubclass(cls, base.Base) or inspect.isabstract(cls):
                continue
            try:
                yield from (cls(**{**_seeded(cls), **params}) for params in cls._unit_test_params())
            except (TypeError, ValueError, RuntimeError):
                continue  # one that river itself does not make


def _seeded(cls: type) -> dict[str, int]:
    return {"seed": 1} if "seed" in inspect.signature(cls).parameters else {}


def sample(index: int) -> tuple[dict[str, Any], float]:
    """A point: its features and its target."""
    chance = random.Random(index)
    x = {"a": chance.random() * 10, "b": chance.random() * 3, "c": chance.choice([0.0, 1.0, 2.0])}
    return x, x["a"] + x["b"]


def learn(model: Any, index: int) -> None:
    """Give a model a point of the kind that it takes; what it raises is its caller's to see."""
    x: Any
    x, y = sample(index)
    if hasattr(model, "forecast"):
        model.learn_one(y)
    elif type(model).__module__.startswith("river.reco."):
        model.learn_one(f"user {index % 3}", f"item {index % 5}", y)
    elif hasattr(model, "learn_one"):
        x = f"words of text {index % 7}" if base.tags.TEXT_INPUT in getattr(model, "_tags", ()) else x
        target: Any = y > 6 if isinstance(model, base.Classifier) else y
        needed = [one for one in inspect.signature(model.learn_one).parameters.values() if one.default is one.empty]
        model.learn_one(*((x,) if len(needed) == 1 else (x, target)))
    elif hasattr(model, "update"):
        model.update(*((y, y) if isinstance(model, stats.base.Bivariate) else (y,)))


def ask(model: Any, index: int) -> None:
    """Ask a model for all that it tells of a point."""
    x, _ = sample(index)
    for name in ("predict_one", "predict_proba_one", "score_one", "transform_one"):
        if hasattr(model, name):
            getattr(model, name)(x)


def uploads() -> list[bytes]:
    """The uploads to mutate, none larger than `LARGEST`, and the same in every process.

    Models that draw their own seed somewhere are left out: they are made twice, and are another each time.
    """
    return [data for data, again in zip(_made(), _made(), strict=True) if data is not None and data == again]


def _made() -> Iterator[bytes | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for count, model in enumerate(estimators()):
            for points in (0, 15):
                try:
                    for index in range(points):
                        learn(model, index)
                    data = PICKLERS[(count + points) % len(PICKLERS)](model)
                except (TypeError, ValueError, AttributeError, KeyError, IndexError, NotImplementedError):
                    yield None  # no model of a stream's points: its untrained upload is there
                else:
                    yield data if len(data) <= LARGEST else None
