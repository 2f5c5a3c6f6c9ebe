"""The stream and the models of a sweep on the server: create, list, predict."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tailrace.errors import Refused
from tailrace.transport.server import Server

__all__ = ["ModelInfo", "NoSuchModel", "Stream"]

LEVEL = 0.95
OWN = "own estimator"


class NoSuchModel(Exception):
    """A requested stream or model does not exist. The message names existing ones."""


@dataclass(frozen=True)
class ModelInfo:
    """A model's name, and the recipe that it was made from."""

    name: str
    recipe: str

    @property
    def title(self) -> str:
        """Name and recipe for tables and pictures, because a name alone may not tell what the model is."""
        return self.name if self.name == self.recipe else f"{self.name} ({self.recipe})"


class Stream:
    """One stream of a server, and its models. Its methods also raise the errors of `Server.request`."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name

    def ensure(self, features: Iterable[str], description: str, recipes: Iterable[str]) -> None:
        """Create the stream, for loop times in seconds, and a model from each recipe, if they don't exist.

        A model has the name of its recipe. If another stream has a model of that name, the stream's name is appended.

        Raises
        ------
        NoSuchModel
            If the stream does not exist and no recipes are given, if its target has another unit than seconds, or if
            a model can't be created because its names are taken.
        """
        recipes = list(recipes)
        path = f"/api/v1/streams/{quote(self._name, safe='')}/"
        there = self._get(path)
        if there is None:
            if not recipes:
                raise NoSuchModel(
                    f"there is no stream {self._name!r} at {self._server.url}: give --recipes to create it with models, such "
                    "as --recipes runtime,linear"
                )
            body = {
                "name": self._name,
                "target": {"name": "loop_time", "unit": "s"},
                "features": dict.fromkeys(features, "number"),
                "description": description,
            }
            self._make(path, "/api/v1/streams/", body)
        elif (unit := there["target"]["unit"]) not in ("", "s"):
            raise NoSuchModel(
                f"the target of stream {self._name} is in {unit}, but LAMMPS's times are in s: choose another --stream"
            )
        made = {model.recipe for model in self.models()} if recipes else set()
        for recipe in recipes:
            if recipe not in made:
                self._make_model(recipe)

    def models(self, names: Iterable[str] = ()) -> list[ModelInfo]:
        """Return the regression models with these names, or all of the stream, sorted by name, if none is given.

        Raises
        ------
        NoSuchModel
            If the stream or one of the models does not exist.
        """
        answer = self._get(f"/api/v1/models/?{urlencode({'stream': self._name})}")
        if answer is None:
            raise NoSuchModel(f"there is no stream {self._name!r} at {self._server.url}")
        found = {
            model["name"]: ModelInfo(model["name"], model.get("recipe") or OWN)
            for model in answer["models"]
            if model.get("flavor", "regression") == "regression"
        }
        for name in names:
            if name not in found:
                near = difflib.get_close_matches(name, found, n=1)
                hint = f": did you mean {near[0]}?" if near else f", only {', '.join(found) or 'none'}"
                raise NoSuchModel(f"stream {self._name} has no regression model {name!r}{hint}")
        return [found[name] for name in names] or list(found.values())

    def predict(self, models: Iterable[ModelInfo], features: Mapping[str, int]) -> dict[str, Any]:
        """Return each model's answer: ``prediction``, ``at`` and, if the model has one, a 95 % ``interval``.

        Nothing is learned.
        """
        body = {"x": dict(features), "level": LEVEL}
        return {
            model.name: self._server.request("POST", f"/api/v1/models/{quote(model.name, safe='')}/predict/", body)
            for model in models
        }

    def _make_model(self, recipe: str) -> None:
        for name in (recipe, f"{recipe}-{self._name}"):
            path = f"/api/v1/models/{quote(name, safe='')}/"
            if self._get(path) is None:
                self._make(path, "/api/v1/models/", {"name": name, "stream": self._name, "recipe": recipe})
            if self._get(path)["stream"] == self._name:
                return
        raise NoSuchModel(
            f"{recipe} and {recipe}-{self._name} are models of other streams: create one for {self._name} with `tailrace create`"
        )

    def _make(self, path: str, collection: str, body: dict[str, Any]) -> None:
        try:
            self._server.request("POST", collection, body)
        except Refused as error:
            # An earlier attempt, whose answer was lost, has created it.
            if error.status != 409 or self._get(path) is None:
                raise

    def _get(self, path: str) -> Any:
        try:
            return self._server.request("GET", path)
        except Refused as error:
            if error.status == 404:
                return None
            raise
