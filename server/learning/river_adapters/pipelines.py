"""Faster calls of river's pipelines: the same calls of the same steps in the same order, resolved once.

A pipeline checks each step's role and routes keyword arguments on every call. For the common pipeline (transformers without
the target, then a model with it), that is a tenth of the time of learning. Other pipelines are called as they are.
"""

from collections.abc import Callable
from typing import Any

from river.compose import Pipeline

Predict = Callable[[dict[str, Any]], Any]
Learn = Callable[[dict[str, Any], Any], Any]


def straight_predictor(estimator: Any, method: str) -> Predict:
    """Return ``estimator.method`` for one point, as direct calls of the steps if possible."""
    steps = _plain_steps(estimator)
    if steps is None:
        found: Predict = getattr(estimator, method)
        return found
    *transformers, last = steps
    final = getattr(last, method)
    transforms = [step.transform_one for step in transformers]
    if len(transforms) == 1:
        (transform,) = transforms
        return lambda x: final(transform(x))

    def predict(x: dict[str, Any]) -> Any:
        for transform in transforms:
            x = transform(x)
        return final(x)

    return predict


def straight_learner(estimator: Any, learn: Learn) -> Learn:
    """Return ``learn`` for one point, as direct calls of the steps if possible."""
    steps = _plain_steps(estimator)
    if steps is None:
        return learn
    *transformers, last = steps
    final = last.learn_one
    pairs = [(step.learn_one, step.transform_one) for step in transformers]
    if len(pairs) == 1:
        ((learn_step, transform),) = pairs

        def learn_two(x: dict[str, Any], y: Any) -> None:
            learn_step(x)
            final(transform(x), y)

        return learn_two

    def learn_all(x: dict[str, Any], y: Any) -> None:
        for learn_step, transform in pairs:
            learn_step(x)
            x = transform(x)
        final(x, y)

    return learn_all


def _plain_steps(estimator: Any) -> list[Any] | None:
    """Return the steps of a pipeline of unsupervised transformers and a supervised model; None for anything else."""
    if type(estimator) is not Pipeline:
        return None
    *transformers, last = estimator._build_plan()
    plain = all(item[0] == "transformer" and not item[2] for item in transformers)
    if not plain or last[0] != "final" or not last[2]:
        return None
    return list(estimator.steps.values())
