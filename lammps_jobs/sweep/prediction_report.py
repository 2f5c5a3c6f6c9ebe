"""Report of a sweep in predict mode: scores of the models' predictions, as a JSON file and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tailrace.atomic_files import write_json

from lammps_jobs.evaluation.scores import Scores, Trial, coverage, scores
from lammps_jobs.sweep.execution import Outcome
from lammps_jobs.sweep.models import ModelInfo
from lammps_jobs.sweep.plan import Plan, SweepDirectory

__all__ = ["report", "trials", "write"]


def trials(model: ModelInfo, outcomes: Sequence[Outcome]) -> list[Trial]:
    """Return a model's prediction for each completed job, with the job's time."""
    found = []
    for outcome in outcomes:
        answer = outcome.predictions.get(model.name, {})
        if outcome.loop_time is not None and answer.get("prediction") is not None:
            interval = answer.get("interval")
            ends = None if interval is None else (float(interval[0]), float(interval[1]))
            found.append(Trial(outcome.loop_time, float(answer["prediction"]), ends))
    return found


def report(plan: Plan, models: Sequence[ModelInfo], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the report as plain data.

    Returns
    -------
    dict
        ``models``: for each model name, recipe, n, r2, mse (s²), mae (s), rmse (s) and the number of intervals that
        contain the time; null if a number does not exist. ``jobs``: name, features, actual time (s) and each model's
        answer. ``failed``: name and reason of the jobs that have no time.
    """
    return {
        "input": plan.input,
        "stream": plan.stream,
        "target": {"name": "loop_time", "unit": "s"},
        "models": [_model(model, trials(model, outcomes)) for model in models],
        "jobs": [
            {
                "name": outcome.job.name,
                "features": plan.features(outcome.job),
                "actual": outcome.loop_time,
                "predictions": dict(outcome.predictions),
            }
            for outcome in outcomes
            if outcome.loop_time is not None
        ],
        "failed": [
            {"name": outcome.job.name, "reason": outcome.failure} for outcome in outcomes if outcome.loop_time is None
        ],
    }


def write(directory: SweepDirectory, plan: Plan, models: Sequence[ModelInfo], outcomes: Sequence[Outcome]) -> None:
    """Write the report and its picture."""
    from lammps_jobs.evaluation.pictures import draw_scatter

    write_json(directory.report, report(plan, models, outcomes))
    panels = {model.title: trials(model, outcomes) for model in models}
    draw_scatter(directory.picture, panels, {model.title: model.recipe for model in models})


def _model(model: ModelInfo, made: Sequence[Trial]) -> dict[str, Any]:
    own: Scores = scores(made)
    held, intervals = coverage(made)
    figures = {"r2": own.r2, "mse": own.mse, "mae": own.mae, "rmse": own.rmse}
    return {
        "name": model.name,
        "recipe": model.recipe,
        "n": own.n,
        **{name: None if math.isnan(value) else value for name, value in figures.items()},
        "intervals": intervals,
        "intervals_held": held,
    }
