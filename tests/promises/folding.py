"""A stream's log as a server tells it, and what river makes of it by hand."""

import json
from typing import Any

from river import linear_model, metrics, preprocessing

from tests.serving import Server


def everything(server: Server, stream: str) -> list[dict[str, Any]]:
    """All observations of a stream, in order."""
    status, content = server.get(f"/api/v1/streams/{stream}/observations/", Accept="application/x-ndjson")
    assert status == 200
    return [json.loads(line) for line in content.splitlines()]


def folded(log: list[dict[str, Any]]) -> dict[str, float]:
    """The prequential metrics of the recipe `linear` over a log, by a bare loop."""
    model = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)
    own = [metrics.MAE(), metrics.RMSE(), metrics.SMAPE()]
    for n, observation in enumerate(log):
        prediction = model.predict_one(observation["x"])
        if n or prediction:
            for metric in own:
                metric.update(observation["y"], prediction)
        model.learn_one(observation["x"], observation["y"])
    return {type(metric).__name__: metric.get() for metric in own}
