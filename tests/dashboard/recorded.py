"""Streams with models that learned and whose records are written, for the tests of pages."""

import random
from collections.abc import Iterable
from typing import Any

from server.learning import registry
from server.learning.background import record_writer
from server.learning.models import Model
from server.learning.recipes import catalog
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.points import Note, Point

MARKUP = '<b onclick="x">"\'&größe'
"""A name of a feature, and a text, that would break a page that doesn't escape it."""


def stream(name: str = "runs", **fields: Any) -> Any:
    return streams.create(name, **{"target_name": "t", "target_unit": "s", **fields})


def model(name: str, on: str = "runs", recipe: str = "linear", **fields: Any) -> Model:
    flavor, estimator, _ = catalog.build(recipe)
    registry.create(name, on, flavor, estimator, recipe=recipe, **fields)
    return Model.objects.select_related("stream").get(name=name)


def jobs(count: int, seed: int = 1, kinds: Iterable[Any] = (1, 2), **source: Any) -> list[Point]:
    """Jobs whose time grows with their size."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        x = {"size": rng.uniform(1, 10), "nodes": rng.choice([1, 2, 4]), "kind": rng.choice(list(kinds))}
        found.append(
            Point(x, (50 + 30 * x["size"]) * rng.lognormvariate(0, 0.05), Note(source=source) if source else None)
        )
    return found


def learn(name: str, points: list[Point]) -> None:
    """Learn points, and write the records of the stream's models."""
    found = streams.find(name)
    for low in range(0, len(points), 200):
        learn_points.learn(found.pk, points[low : low + 200])
    record()


def record() -> None:
    record_writer._known.clear()
    while record_writer.record_due():
        pass
