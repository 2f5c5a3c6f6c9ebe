"""What a request for a new model says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.extras import needs

if TYPE_CHECKING:
    from tailrace.client import Client

__all__ = ["creation", "flavor_of"]


def creation(
    client: Client,
    name: str,
    stream: str,
    recipe: str | None,
    parameters: Mapping[str, Any] | None,
    estimator: Any,
    flavor: str | None,
) -> dict[str, Any]:
    """The body of the request: see `Client.create`.

    Raises
    ------
    TypeError
        If it is neither a recipe nor an estimator, or both, or brings what goes with the other.
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
        flavor = flavor_of(estimator, lambda: str(client.stream(stream).info()["target"]["kind"]))
    return {**body, "flavor": flavor, "estimator": described}


def described_as_json(estimator: Any) -> dict[str, Any]:
    """An estimator's description: its class and parameters.

    Raises
    ------
    MissingExtra
        If river is not installed.
    DescriptionError
        If it can't be described.
    """
    needs("river")
    from tailrace.estimators.description import describe

    return describe(estimator)


def flavor_of(estimator: Any, target_kind: Any) -> str:
    """The kind of task of an estimator, from what river says of it.

    Parameters
    ----------
    estimator
        Of river's; or a description, which is built to look at it.
    target_kind
        Called for the stream's kind of target, which decides between binary and multiclass.

    Raises
    ------
    Unusable
        If it can't be told; the message names the flavors.
    """
    base, compose = needs("river", "river.base", "river.compose")
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
        f"the kind of task of {type(estimator).__name__} can't be told: give flavor as one of regression, binary, "
        "multiclass, cluster, neighbor, custom"
    )
