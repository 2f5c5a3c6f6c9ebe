"""The body of the request that creates a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.optional_dependencies import require

if TYPE_CHECKING:
    from tailrace.handles.session import Session

__all__ = ["flavor_of", "model_body"]


def model_body(
    session: Session,
    name: str,
    stream: str,
    recipe: str | None,
    parameters: Mapping[str, Any] | None,
    estimator: Any,
    flavor: str | None,
) -> dict[str, Any]:
    """Returns the body of the request. See `Client.create` for the parameters.

    Raises
    ------
    TypeError
        If not exactly one of `recipe` and `estimator` is given, `flavor` is given with a recipe, or `parameters` are
        given with an estimator.
    """
    if (recipe is None) is (estimator is None):
        raise TypeError(
            "expected either a recipe (with parameters) or an estimator (with flavor): c.recipes shows recipes"
        )
    body: dict[str, Any] = {"name": name, "stream": stream}
    if recipe is not None:
        if flavor is not None:
            raise TypeError(f"flavor={flavor!r} goes with an estimator: the recipe {recipe} has its own")
        return {**body, "recipe": recipe, **({} if parameters is None else {"parameters": dict(parameters)})}
    if parameters is not None:
        raise TypeError("parameters go with a recipe: an estimator has its own")
    described = estimator if isinstance(estimator, dict) else described_as_json(estimator)
    if flavor is None:
        flavor = flavor_of(
            estimator,
            lambda: str(session.send("GET", session.path("streams", stream), stream=stream)["target"]["kind"]),
        )
    return {**body, "flavor": flavor, "estimator": described}


def described_as_json(estimator: Any) -> dict[str, Any]:
    """Returns the description of an estimator: its class and parameters.

    Raises
    ------
    MissingExtra
        If river is not installed.
    DescriptionError
        If the estimator cannot be described.
    """
    require("river")
    from tailrace.estimators.description import describe

    return describe(estimator)


def flavor_of(estimator: Any, target_kind: Any) -> str:
    """Returns the flavor of an estimator (its kind of task), from its river base class.

    Parameters
    ----------
    estimator
        A river estimator, or its description.
    target_kind
        Function that returns the kind of the stream's target. It is called only to decide between binary and
        multiclass.

    Raises
    ------
    Unusable
        If the flavor cannot be derived. The message lists the flavors.
    """
    base, compose = require("river", "river.base", "river.compose")
    if isinstance(estimator, dict):
        from tailrace.estimators.description import build

        estimator = build(estimator)
    judged = estimator
    while isinstance(judged, (compose.Pipeline, base.Wrapper)):
        judged = list(judged.steps.values())[-1] if isinstance(judged, compose.Pipeline) else judged._wrapped_model
    if isinstance(judged, base.Classifier):
        return "multiclass" if target_kind() == "category" else "binary"
    if isinstance(judged, base.Regressor):
        return "regression"
    if isinstance(judged, base.Clusterer):
        return "cluster"
    raise Unusable(
        f"the flavor of {type(estimator).__name__} can't be derived: give flavor, one of regression, binary, multiclass, "
        "cluster, neighbor, custom"
    )
