"""Names of a demo's stream and models. A number is appended if they are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from tailrace.errors import Refused
from tailrace.transport.server import Server

__all__ = ["NumberedNames", "PlanError", "exists", "with_free_names"]

MOST_RUNS = 1000


class PlanError(Exception):
    """The demo can't be started or resumed as requested. The message says why and what to do."""


class NumberedNames:
    """Base class of a demo's plan, with the names of its stream and its models.

    Attributes
    ----------
    run
        Number at the end of the names of `stream` and `models`. 1: no number. It is higher if these names are taken.
    """

    STREAM: ClassVar[str]
    RECIPES: ClassVar[tuple[str, ...]]
    run: int

    @property
    def stream(self) -> str:
        return self.STREAM + self._suffix

    @property
    def models(self) -> dict[str, str]:
        """Recipe to the name of its model."""
        return {recipe: recipe + self._suffix for recipe in self.RECIPES}

    @property
    def _suffix(self) -> str:
        return "" if self.run == 1 else f"-{self.run}"


AnyPlan = TypeVar("AnyPlan", bound=NumberedNames)


def with_free_names(server: Server, plan: AnyPlan) -> AnyPlan:
    """Return `plan` with the lowest number for which its stream and its models don't exist yet.

    Raises
    ------
    PlanError
        If all names are taken.
    """
    for run in range(1, MOST_RUNS):
        made: Any = plan
        candidate: AnyPlan = replace(made, run=run)
        names = [("streams", candidate.stream), *(("models", model) for model in candidate.models.values())]
        if not any(exists(server, kind, name) for kind, name in names):
            return candidate
    raise PlanError(f"the names {plan.stream} to {plan.stream}-{MOST_RUNS - 1} are all taken on {server.url}")


def exists(server: Server, kind: str, name: str) -> bool:
    """Return whether the server has a stream or a model of that name.

    Parameters
    ----------
    kind
        ``streams`` or ``models``.
    """
    try:
        server.request("GET", f"/api/v1/{kind}/{quote(name, safe='')}/")
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True
